// server.js KEEP_ALIVE_MS HINT [CERT KEY] -- Node's own HTTP server, with CERT HTTPS: each body comes back.
//
// It closes connections that idled for KEEP_ALIVE_MS, and says so (Keep-Alive: timeout=N) only with
// HINT true.
'use strict';

const fs = require('fs');

const [keepAliveMs, hint, cert, key] = process.argv.slice(2);
const secure = cert ? {cert: fs.readFileSync(cert), key: fs.readFileSync(key)} : {};
const server = require(cert ? 'https' : 'http').createServer(secure, (request, response) => {
	const parts = [];
	request.on('data', (part) => parts.push(part));
	request.on('end', () => {
		if (hint !== 'true')
			response.setHeader('Connection', 'keep-alive');
		response.end(Buffer.concat(parts));
	});
});
server.keepAliveTimeout = Number(keepAliveMs);
server.listen(0, '127.0.0.1', () => {
	console.log(`listening on ${cert ? 'https://' : ''}127.0.0.1:${server.address().port}`);
});
process.on('SIGTERM', () => process.exit(0));
