// server.js KEEP_ALIVE_MS HINT -- Node's own HTTP server: each body comes back.
//
// It closes connections that idled for KEEP_ALIVE_MS, and says so (Keep-Alive: timeout=N) only with
// HINT true.
'use strict';

const http = require('http');

const [keepAliveMs, hint] = process.argv.slice(2);
const server = http.createServer((request, response) => {
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
	console.log(`listening on 127.0.0.1:${server.address().port}`);
});
process.on('SIGTERM', () => process.exit(0));
