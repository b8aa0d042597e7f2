# flowproxy -- the HTTP reverse proxy `flowproxy` and its packet tracer `flowtrace`.
#
# Targets
#   all       the two programs: build/flowproxy and build/flowtrace (the default)
#   demo      install what is missing, build, and show four SOAP requests down to their TCP segments;
#             TLS=1  over HTTPS on both legs, with a dump that opens decrypted
#   test      install what is missing, build, run unit, flow and (briefly) fuzz tests
#   unit      unit tests alone;            T=trace       one folder
#   flow      flow tests alone;            T=early_response  one situation
#   fuzz      fuzz tests alone;            T=http_head FUZZ_S=600  one target, seconds for each
#   bench     measure against nginx, HAProxy, a bare relay, and readers of captures
#   fresh     demo and test on a bare Debian 12, in a chroot made for it (as root)
#   lint      warnings as errors with gcc and clang, clang-tidy, cppcheck, formatting, layering
#   format    apply .clang-format to every C file
#   cover     unit and flow tests with gcov, one line per source file
#   install   programs and documents below $(DESTDIR)$(PREFIX)
#   clean     remove everything that was built
#   help      print this
#
# Variables
#   CC=gcc|clang    the compiler                  CFLAGS, LDFLAGS  added to ours
#   SANITIZE=       address, undefined or thread; builds in build-<it>
#   BUILD=          where everything built goes, "build" by default
#   PREFIX=         /usr/local by default         DESTDIR=         a root to install below
#   WERROR=1        warnings are errors           V=1              show the commands
#   JOBS=           how many things at once in test, lint and the rest; all CPUs by default

ifeq ($(origin CC),default)
CC := gcc
endif
FUZZ_CC ?= clang
PREFIX ?= /usr/local
DESTDIR ?=
JOBS ?= $(shell nproc)
FUZZ_S ?= 30
BUILD ?= build$(if $(SANITIZE),-$(SANITIZE))
T ?=
TLS ?=
V ?=

comma := ,
ifneq ($(filter-out address undefined thread address$(comma)undefined,$(SANITIZE)),)
$(error SANITIZE is "$(SANITIZE)"; it can be address, undefined or thread)
endif

# ---- sources, found by folder -------------------------------------------------------------------

COMMON := $(sort $(wildcard common/*.c))
CONFIG := $(sort $(wildcard config/*.c))
PROXY := $(sort $(wildcard proxy/*.c))
TRACE := $(sort $(wildcard trace/*.c))
TOOLS := $(sort $(wildcard tests/tools/*.c))
TOOLLIB := $(sort $(wildcard tests/tools/lib/*.c))
PRELOAD := $(sort $(wildcard tests/tools/preload/*.c))
TESTLIB := $(sort $(wildcard tests/lib/*.c))
UNIT_DIRS := $(patsubst tests/unit/%/,%,$(sort $(dir $(wildcard tests/unit/*/*_test.c))))
UNIT := $(foreach d,$(UNIT_DIRS),$(sort $(wildcard tests/unit/$(d)/*_test.c)))
FUZZ := $(sort $(wildcard tests/fuzz/*_fuzz.c))
C_SOURCES := $(COMMON) $(CONFIG) $(PROXY) $(TRACE) $(TOOLS) $(TOOLLIB) $(PRELOAD) $(TESTLIB) $(UNIT) $(FUZZ) \
	$(sort $(wildcard tests/unit/*.c))
C_HEADERS := $(sort $(wildcard common/*.h config/*.h proxy/*.h trace/*.h tests/*/*.h tests/*/*/*.h))

PROGRAMS := $(BUILD)/flowproxy $(BUILD)/flowtrace
PRELOAD_LIBS := $(PRELOAD:tests/tools/preload/%.c=$(BUILD)/tools/%.so)
TOOL_PROGRAMS := $(TOOLS:tests/tools/%.c=$(BUILD)/tools/%)
# The proxy that random peers are let loose on, and the tracer that reads captures made by others;
# with SANITIZE those under test are.
SANITIZED_PROGRAMS := $(if $(SANITIZE)$(COVER),,$(BUILD)/sanitized/flowproxy $(BUILD)/sanitized/flowtrace)
UNIT_PROGRAMS := $(UNIT_DIRS:%=$(BUILD)/unit/%)
FUZZ_PROGRAMS := $(FUZZ:tests/fuzz/%_fuzz.c=$(BUILD)/fuzz/%)

# ---- flags --------------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wvla -Wformat=2 -Wundef -Wpointer-arith -Wcast-qual -Wwrite-strings \
	$(if $(WERROR),-Werror)
HARDENING := -fstack-protector-strong -fPIE
FORTIFY := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
SANITIZED := -O1 -g -fno-omit-frame-pointer -U_FORTIFY_SOURCE

ALL_CPPFLAGS = -I. $(LLHTTP_CPPFLAGS) -D_GNU_SOURCE $(CPPFLAGS)
ifeq ($(SANITIZE),)
OPTIMIZE := -O2 -g $(FORTIFY)
else
OPTIMIZE := $(SANITIZED) -fsanitize=$(SANITIZE) -fno-sanitize-recover=all
LDFLAGS_SANITIZE := -fsanitize=$(SANITIZE)
endif
ifneq ($(COVER),)
OPTIMIZE := -O0 -g --coverage
LDFLAGS_SANITIZE := --coverage
endif
ALL_CFLAGS = -std=c17 -pthread $(OPTIMIZE) $(HARDENING) $(CFLAGS)
ALL_LDFLAGS = -pthread -pie -Wl,-z,relro,-z,now,--as-needed $(LDFLAGS_SANITIZE) $(LDFLAGS)
FUZZ_CFLAGS = -std=c17 -pthread $(SANITIZED) -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=all
FUZZ_LDFLAGS = -pthread -fsanitize=fuzzer,address,undefined -Wl,--as-needed

# ---- libraries ----------------------------------------------------------------------------------

CONFIG_PKGS := inih
PROXY_PKGS := $(CONFIG_PKGS) libevent_core libcares expat libssl libcrypto
TRACE_PKGS := $(CONFIG_PKGS) libpcap jansson zlib libzstd
TOOL_PKGS := expat libssl libcrypto
PKGS := $(sort $(PROXY_PKGS) $(TRACE_PKGS) $(TOOL_PKGS))
pkg_libs = $(shell pkg-config --libs $(1) 2>/dev/null)
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)

# llhttp: the system's library, else the C sources that Debian ships in node-llhttp. Without strict
# mode it accepts what must be refused, and header and sources must agree on it.
ifneq ($(shell pkg-config --exists libllhttp 2>/dev/null && echo yes),)
LLHTTP_CPPFLAGS := -DLLHTTP_STRICT_MODE=1 $(shell pkg-config --cflags libllhttp)
LLHTTP_LIBS := $(shell pkg-config --libs libllhttp)
LLHTTP_SOURCES :=
LLHTTP_FOUND := yes
else
LLHTTP_FILES := $(shell dpkg -L node-llhttp 2>/dev/null)
LLHTTP_HEADER := $(firstword $(filter %/include/llhttp/llhttp.h,$(LLHTTP_FILES)))
LLHTTP_SOURCES := $(filter %/share/llhttp/api.c %/share/llhttp/http.c %/share/llhttp/llhttp.c,\
	$(LLHTTP_FILES))
LLHTTP_CPPFLAGS := -DLLHTTP_STRICT_MODE=1 $(addprefix -isystem ,$(patsubst %/,%,$(dir $(LLHTTP_HEADER))))
LLHTTP_LIBS :=
LLHTTP_FOUND := $(LLHTTP_SOURCES)
endif

MISSING = $(strip $(if $(LLHTTP_FOUND),,llhttp) \
	$(foreach p,$(PKGS),$(if $(shell pkg-config --exists $(p) 2>/dev/null && echo yes),,$(p))))

# ---- rules --------------------------------------------------------------------------------------

say = $(if $(V),,@$(if $(QUIET),:,printf) '  %-5s %s\n' '$(1)' '$(2)';)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: FORCE all demo test unit flow fuzz bench lint format cover install clean help \
	tests-built lint-objects lint-tidy lint-c lint-all fresh

all: $(PROGRAMS)

tests-built: $(PROGRAMS) $(TOOL_PROGRAMS) $(PRELOAD_LIBS) $(SANITIZED_PROGRAMS) $(UNIT_PROGRAMS) $(if $(filter thread,$(SANITIZE)),,$(FUZZ_PROGRAMS))

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(filter %.c,$(1)))
fuzzobj = $(patsubst %.c,$(BUILD)/fuzz-obj/%.o,$(filter %.c,$(1)))
llhttp_obj = $(patsubst %.c,$(1)/llhttp-%.o,$(notdir $(LLHTTP_SOURCES)))
but_main = $(filter-out %/main.c,$(1))

COMMON_LIB := $(BUILD)/lib/libcommon.a
CONFIG_LIB := $(BUILD)/lib/libconfig.a
TEST_LIB := $(BUILD)/lib/libtest.a
TOOL_LIB := $(BUILD)/lib/libtools.a
FUZZ_LIBS := $(BUILD)/fuzz-obj/libconfig.a $(BUILD)/fuzz-obj/libcommon.a

# The two stamps change only when their text does: other flags rebuild every object, a source that
# came or went links the programs again.
FLAGS_STAMP := $(BUILD)/.flags
LIST_STAMP := $(BUILD)/.sources
write_if_changed = mkdir -p $(@D); printf '%s\n' '$(1)' | cmp -s - $@ || printf '%s\n' '$(1)' >$@

$(FLAGS_STAMP): FORCE
	@$(if $(MISSING),echo "not found: $(MISSING); \`scripts/install-deps build\` installs what the build needs" >&2; exit 1,:)
	@$(call write_if_changed,$(CC) $(FUZZ_CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(WARNINGS) $(ALL_LDFLAGS))

$(LIST_STAMP): FORCE
	@$(call write_if_changed,$(C_SOURCES))

# Criterion's macros compare through variables, where clang takes 1 for an int.
$(BUILD)/obj/tests/unit/%.o: private WARNINGS += -Wno-sign-compare

$(BUILD)/obj/%.o: %.c $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CPPFLAGS) $(PKG_CFLAGS) $(ALL_CFLAGS) $(WARNINGS) -MMD -MP -c -o $@ $<

$(BUILD)/fuzz-obj/%.o: %.c $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(call say,CC,$< (fuzz))$(FUZZ_CC) $(ALL_CPPFLAGS) $(PKG_CFLAGS) $(FUZZ_CFLAGS) $(WARNINGS) -MMD -MP -c -o $@ $<

# llhttp's own sources: same flags, but their warnings are not ours to mend.
define llhttp_rule
$(BUILD)/obj/llhttp-$(notdir $(1:.c=.o)): $(1) $(FLAGS_STAMP)
	@mkdir -p $$(@D)
	$$(call say,CC,$(notdir $(1)) (llhttp))$$(CC) $$(ALL_CPPFLAGS) $$(ALL_CFLAGS) -w -c -o $$@ $$<
$(BUILD)/fuzz-obj/llhttp-$(notdir $(1:.c=.o)): $(1) $(FLAGS_STAMP)
	@mkdir -p $$(@D)
	$$(call say,CC,$(notdir $(1)) (llhttp, fuzz))$$(FUZZ_CC) $$(ALL_CPPFLAGS) $$(FUZZ_CFLAGS) -w -c -o $$@ $$<
endef
$(foreach s,$(LLHTTP_SOURCES),$(eval $(call llhttp_rule,$(s))))

archive = $(call say,AR,$@)rm -f $@ && mkdir -p $(@D) && ar rcsD $@ $(filter %.o,$^)

$(COMMON_LIB): $(call obj,$(COMMON)) $(call llhttp_obj,$(BUILD)/obj) $(LIST_STAMP)
	$(archive)
$(CONFIG_LIB): $(call obj,$(CONFIG)) $(LIST_STAMP)
	$(archive)
$(TEST_LIB): $(call obj,$(TESTLIB)) $(LIST_STAMP)
	$(archive)
$(TOOL_LIB): $(call obj,$(TOOLLIB)) $(LIST_STAMP)
	$(archive)
$(BUILD)/fuzz-obj/libcommon.a: $(call fuzzobj,$(COMMON)) $(call llhttp_obj,$(BUILD)/fuzz-obj) $(LIST_STAMP)
	$(archive)
$(BUILD)/fuzz-obj/libconfig.a: $(call fuzzobj,$(CONFIG)) $(LIST_STAMP)
	$(archive)

# $(1) libraries found by pkg-config; archives come after what needs them
link = $(call say,LINK,$@)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) \
	$(filter %.a,$^) $(LLHTTP_LIBS) $(call pkg_libs,$(1))

$(BUILD)/flowproxy: $(call obj,$(PROXY)) $(CONFIG_LIB) $(COMMON_LIB) $(LIST_STAMP)
	$(call link,$(PROXY_PKGS))
$(BUILD)/flowtrace: $(call obj,$(TRACE)) $(CONFIG_LIB) $(COMMON_LIB) $(LIST_STAMP)
	$(call link,$(TRACE_PKGS))

$(TOOL_PROGRAMS): $(BUILD)/tools/%: $(BUILD)/obj/tests/tools/%.o $(TOOL_LIB) $(COMMON_LIB) $(LIST_STAMP)
	$(call link,$(TOOL_PKGS))

# Loaded before libc into a program under test. Never sanitized: it stands in front of the
# sanitizer's own allocator.
$(BUILD)/obj/tests/tools/preload/%.o: private OPTIMIZE := -O2 -g
$(BUILD)/obj/tests/tools/preload/%.o: private HARDENING := -fstack-protector-strong -fPIC
$(PRELOAD_LIBS): $(BUILD)/tools/%.so: $(BUILD)/obj/tests/tools/preload/%.o
	$(call say,LINK,$@)mkdir -p $(@D) && $(CC) -shared -pthread -Wl,-z,relro,-z,now,--no-undefined -o $@ $< -ldl

# One after the other: they share objects.
$(BUILD)/sanitized/flowproxy: FORCE
	@+$(MAKE) --no-print-directory SANITIZE=address$(comma)undefined BUILD=$(BUILD)/sanitized $@
$(BUILD)/sanitized/flowtrace: $(BUILD)/sanitized/flowproxy FORCE
	@+$(MAKE) --no-print-directory SANITIZE=address$(comma)undefined BUILD=$(BUILD)/sanitized $@

# Criterion does not start under ThreadSanitizer without help (see the file).
TSAN_ARENA := tests/unit/tsan_arena.c
unit_arena := $(if $(filter thread,$(SANITIZE)),$(call obj,$(TSAN_ARENA)))

unit_links_common :=
unit_links_config :=
unit_links_proxy = $(call obj,$(call but_main,$(PROXY)))
unit_links_trace = $(call obj,$(call but_main,$(TRACE)))
unit_pkgs_config := $(CONFIG_PKGS)
unit_pkgs_proxy := $(PROXY_PKGS)
unit_pkgs_trace := $(TRACE_PKGS)

define unit_rule
$(BUILD)/unit/$(1): $(call obj,$(wildcard tests/unit/$(1)/*_test.c)) $(unit_links_$(1)) $(unit_arena) $(TEST_LIB) \
		$(if $(filter common,$(1)),,$(CONFIG_LIB)) $(COMMON_LIB) $(LIST_STAMP)
	$$(call link,$(unit_pkgs_$(1))) -lcriterion
endef
$(foreach d,$(UNIT_DIRS),$(eval $(call unit_rule,$(d))))

# A fuzz file says in its first lines what it is linked with besides common/ and config/:
# "// links: proxy" or "// links: trace".
comma := ,
fuzz_links = $(shell sed -n -E '1$(comma)40s;^[/ *]*links: *(proxy|trace)\b.*;\1;p' tests/fuzz/$(1)_fuzz.c)
fuzz_links_proxy = $(call fuzzobj,$(call but_main,$(PROXY)))
fuzz_links_trace = $(call fuzzobj,$(call but_main,$(TRACE)))

define fuzz_rule
$(BUILD)/fuzz/$(1): $(BUILD)/fuzz-obj/tests/fuzz/$(1)_fuzz.o $(foreach l,$(2),$(fuzz_links_$(l))) \
		$(FUZZ_LIBS) $(LIST_STAMP)
	$$(call say,LINK,$$@)mkdir -p $$(@D) && $$(FUZZ_CC) $$(FUZZ_LDFLAGS) -o $$@ $$(filter %.o,$$^) \
		$$(filter %.a,$$^) $$(LLHTTP_LIBS) $$(call pkg_libs,$$(PKGS))
endef
$(foreach f,$(FUZZ:tests/fuzz/%_fuzz.c=%),$(eval $(call fuzz_rule,$(f),$(call fuzz_links,$(f)))))

# Parts of lint (scripts/lint). clang-tidy looks again at a file when its object was built again,
# which is when the file or one of its headers changed.
lint-objects: $(call obj,$(C_SOURCES))
lint-tidy: $(C_SOURCES:%.c=$(BUILD)/tidy/%.ok)
lint-c:
	@printf '%s\n' $(C_SOURCES)
lint-all:
	@printf '%s\n' $(C_SOURCES) $(C_HEADERS)
$(BUILD)/tidy/%.ok: $(BUILD)/obj/%.o .clang-tidy
	@mkdir -p $(@D)
	$(call say,TIDY,$*.c)clang-tidy --quiet $*.c -- -std=c17 $(ALL_CPPFLAGS) $(PKG_CFLAGS) 2>/dev/null && touch $@

-include $(patsubst %.o,%.d,$(call obj,$(C_SOURCES)) $(call fuzzobj,$(COMMON) $(CONFIG) $(PROXY) $(TRACE) $(FUZZ)))

# ---- what people type ---------------------------------------------------------------------------

# Parallel by itself, unless make was already told how much to do at once.
submake = $(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS))
run_tests = tests/run --build $(abspath $(BUILD)) --jobs $(JOBS) $(if $(SANITIZE),--sanitize $(SANITIZE)) \
	$(if $(T),--only $(T)) --fuzz-seconds

demo:
	@scripts/install-deps build demo $(if $(TLS),demo-tls)
	@+$(submake) all $(filter $(BUILD)/tools/currency-backend,$(TOOL_PROGRAMS))
	@FLOWPROXY_BUILD=$(abspath $(BUILD)) scripts/demo $(if $(TLS),--tls)

test:
	@scripts/install-deps build demo test
	@+$(submake) tests-built
	@$(run_tests) 5 unit flow $(if $(filter thread,$(SANITIZE)),,fuzz)

unit:
	@+$(submake) $(if $(T),$(BUILD)/unit/$(T),$(UNIT_PROGRAMS))
	@$(run_tests) 0 unit

flow:
	@+$(submake) $(PROGRAMS) $(TOOL_PROGRAMS) $(PRELOAD_LIBS) $(SANITIZED_PROGRAMS)
	@$(run_tests) 0 flow

fuzz:
	@+$(submake) $(if $(T),$(BUILD)/fuzz/$(T),$(FUZZ_PROGRAMS))
	@$(run_tests) $(FUZZ_S) fuzz

bench:
	@scripts/install-deps build bench
	@+$(submake) all $(TOOL_PROGRAMS)
	@FLOWPROXY_BUILD=$(abspath $(BUILD)) scripts/bench

lint:
	@scripts/install-deps build test lint
	@+JOBS=$(JOBS) BUILD=$(BUILD) scripts/lint

fresh:
	@scripts/try-fresh

format:
	clang-format -i $(C_SOURCES) $(C_HEADERS)

cover:
	@+$(submake) BUILD=build-cover COVER=1 $(patsubst $(BUILD)/%,build-cover/%,$(PROGRAMS) $(TOOL_PROGRAMS) $(PRELOAD_LIBS) $(UNIT_PROGRAMS))
	@tests/run --build $(abspath build-cover) --jobs $(JOBS) --fuzz-seconds 0 unit flow
	@for f in $(COMMON) $(CONFIG) $(PROXY) $(TRACE); do \
		gcov -n build-cover/obj/$${f%.c}.o 2>/dev/null | \
		awk -v f="$$f" '$$0 == "File \047" f "\047" { on = 1; next } \
			on && /^Lines/ { sub(/^Lines executed:/, ""); printf "%-32s %s\n", f, $$0; exit }'; \
	done

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/doc/flowproxy
	install -m 755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(wildcard README.md CHANGELOG.md LICENSE config/flowproxy.conf) $(DESTDIR)$(PREFIX)/share/doc/flowproxy

clean:
	rm -rf $(BUILD) build build-address build-undefined build-thread build-cover

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile
