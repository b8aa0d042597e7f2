/*
 * soap_write.c -- write SOAP answers, faults and the service's WSDL.
 *
 * Text from a request passes through text_put_xml() only.
 */
#include "tests/tools/lib/soap.h"

static const char *const envelope_ns[] = {
	[SOAP_1_1] = "http://schemas.xmlsoap.org/soap/envelope/",
	[SOAP_1_2] = "http://www.w3.org/2003/05/soap-envelope",
};

const char *soap_content_type(enum soap_version version)
{
	return version == SOAP_1_2 ? "application/soap+xml; charset=utf-8"
				   : "text/xml; charset=utf-8";
}

static void open_body(struct text *out, enum soap_version version)
{
	text_format(out,
		    "<?xml version=\"1.0\" encoding=\"utf-8\"?>"
		    "<soap:Envelope xmlns:soap=\"%s\""
		    " xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\""
		    " xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\"><soap:Body>",
		    envelope_ns[version]);
}

static void close_body(struct text *out)
{
	text_put(out, "</soap:Body></soap:Envelope>");
}

void soap_write_rate(struct text *out, enum soap_version version, double rate)
{
	open_body(out, version);
	text_format(out,
		    "<ConversionRateResponse xmlns=\"" SOAP_NAMESPACE "\">"
		    "<ConversionRateResult>%.6g</ConversionRateResult>"
		    "</ConversionRateResponse>",
		    rate);
	close_body(out);
}

static const char *fault_code(enum soap_version version, enum soap_blame blame)
{
	static const char *const codes[][4] = {
		[SOAP_1_1] = {[SOAP_CLIENT] = "Client",
			      [SOAP_SERVER] = "Server",
			      [SOAP_VERSION_MISMATCH] = "VersionMismatch",
			      [SOAP_MUST_UNDERSTAND] = "MustUnderstand"},
		[SOAP_1_2] = {[SOAP_CLIENT] = "Sender",
			      [SOAP_SERVER] = "Receiver",
			      [SOAP_VERSION_MISMATCH] = "VersionMismatch",
			      [SOAP_MUST_UNDERSTAND] = "MustUnderstand"},
	};

	return codes[version][blame];
}

void soap_write_fault(struct text *out, enum soap_version version, enum soap_blame blame,
		      const char *message)
{
	const char *code = fault_code(version, blame);

	open_body(out, version);
	text_put(out, "<soap:Fault>");
	if (version == SOAP_1_1) {
		text_format(out, "<faultcode>soap:%s</faultcode><faultstring>", code);
		text_put_xml(out, message);
		text_put(out, "</faultstring><detail/>");
	} else {
		text_format(out,
			    "<soap:Code><soap:Value>soap:%s</soap:Value></soap:Code>"
			    "<soap:Reason><soap:Text xml:lang=\"en\">",
			    code);
		text_put_xml(out, message);
		text_put(out, "</soap:Text></soap:Reason>");
	}
	text_put(out, "</soap:Fault>");
	close_body(out);
}

/* ---- the WSDL ---- */

static const char wsdl_types[] =
	"<?xml version=\"1.0\" encoding=\"utf-8\"?>\n"
	"<wsdl:definitions xmlns:wsdl=\"http://schemas.xmlsoap.org/wsdl/\""
	" xmlns:soap=\"http://schemas.xmlsoap.org/wsdl/soap/\""
	" xmlns:soap12=\"http://schemas.xmlsoap.org/wsdl/soap12/\""
	" xmlns:s=\"http://www.w3.org/2001/XMLSchema\""
	" xmlns:tns=\"" SOAP_NAMESPACE "\" targetNamespace=\"" SOAP_NAMESPACE "\">\n"
	" <wsdl:types>\n"
	"  <s:schema elementFormDefault=\"qualified\" targetNamespace=\"" SOAP_NAMESPACE "\">\n"
	"   <s:element name=\"ConversionRate\"><s:complexType><s:sequence>\n"
	"    <s:element name=\"FromCurrency\" type=\"tns:Currency\"/>\n"
	"    <s:element name=\"ToCurrency\" type=\"tns:Currency\"/>\n"
	"   </s:sequence></s:complexType></s:element>\n"
	"   <s:simpleType name=\"Currency\"><s:restriction base=\"s:string\">"
	"<s:pattern value=\"[A-Z]{3}\"/></s:restriction></s:simpleType>\n"
	"   <s:element name=\"ConversionRateResponse\"><s:complexType><s:sequence>\n"
	"    <s:element name=\"ConversionRateResult\" type=\"s:double\"/>\n"
	"   </s:sequence></s:complexType></s:element>\n"
	"  </s:schema>\n"
	" </wsdl:types>\n";

static const char wsdl_port_type[] =
	" <wsdl:message name=\"ConversionRateSoapIn\">"
	"<wsdl:part name=\"parameters\" element=\"tns:ConversionRate\"/></wsdl:message>\n"
	" <wsdl:message name=\"ConversionRateSoapOut\">"
	"<wsdl:part name=\"parameters\" element=\"tns:ConversionRateResponse\"/></wsdl:message>\n"
	" <wsdl:portType name=\"CurrencyConvertorSoap\">\n"
	"  <wsdl:operation name=\"ConversionRate\">"
	"<wsdl:input message=\"tns:ConversionRateSoapIn\"/>"
	"<wsdl:output message=\"tns:ConversionRateSoapOut\"/></wsdl:operation>\n"
	" </wsdl:portType>\n";

static void wsdl_binding(struct text *out, const char *name, const char *prefix)
{
	text_format(out,
		    " <wsdl:binding name=\"%s\" type=\"tns:CurrencyConvertorSoap\">\n"
		    "  <%s:binding transport=\"http://schemas.xmlsoap.org/soap/http\"/>\n"
		    "  <wsdl:operation name=\"ConversionRate\">\n"
		    "   <%s:operation soapAction=\"" SOAP_NAMESPACE
		    "ConversionRate\" style=\"document\"/>\n",
		    name, prefix, prefix);
	text_format(out,
		    "   <wsdl:input><%s:body use=\"literal\"/></wsdl:input>\n"
		    "   <wsdl:output><%s:body use=\"literal\"/></wsdl:output>\n"
		    "  </wsdl:operation>\n"
		    " </wsdl:binding>\n",
		    prefix, prefix);
}

static void wsdl_port(struct text *out, const char *name, const char *prefix, const char *host)
{
	text_format(out,
		    "  <wsdl:port name=\"%s\" binding=\"tns:%s\"><%s:address location=\"http://",
		    name, name, prefix);
	text_put_xml(out, host);
	text_put(out, SOAP_PATH "\"/></wsdl:port>\n");
}

void soap_write_wsdl(struct text *out, const char *host)
{
	text_put(out, wsdl_types);
	text_put(out, wsdl_port_type);
	wsdl_binding(out, "CurrencyConvertorSoap", "soap");
	wsdl_binding(out, "CurrencyConvertorSoap12", "soap12");
	text_put(out, " <wsdl:service name=\"CurrencyConvertor\">\n");
	wsdl_port(out, "CurrencyConvertorSoap", "soap", host);
	wsdl_port(out, "CurrencyConvertorSoap12", "soap12", host);
	text_put(out, " </wsdl:service>\n</wsdl:definitions>\n");
}
