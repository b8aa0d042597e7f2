// client.js URL COUNT CONCURRENCY KEEP_ALIVE PAUSE_MS -- Node's own HTTP client, each answer compared.
//
// Every second request is a POST whose body must come back; each worker pauses between its requests.
// A URL of https: is verified against the authorities that Node knows. Prints how many were right, how many were answered 502 by method, and what else happened.
'use strict';

const crypto = require('crypto');

const [url, count, concurrency, keepAlive, pauseMs] = process.argv.slice(2);
const http = require(url.startsWith('https:') ? 'https' : 'http');
const agent = new http.Agent({keepAlive: keepAlive === 'true', maxSockets: Number(concurrency)});
const told = {right: 0, badGateway: {GET: 0, POST: 0}, failures: []};
let next = 0;

function exchange(number) {
	return new Promise((resolve) => {
		const method = number % 2 ? 'POST' : 'GET';
		const body = method === 'POST' ? crypto.randomBytes(number % 7 * 500 + 1) : Buffer.alloc(0);
		const request = http.request(`${url}/${number}`, {method, agent, timeout: 10000}, (response) => {
			const parts = [];
			response.on('data', (part) => parts.push(part));
			response.on('end', () => {
				if (response.statusCode === 200 && Buffer.concat(parts).equals(body))
					told.right++;
				else if (response.statusCode === 502)
					told.badGateway[method]++;
				else
					told.failures.push(`${method} ${number}: ${response.statusCode}`);
				resolve();
			});
			response.on('error', (error) => { told.failures.push(`${number}: ${error}`); resolve(); });
		});
		request.on('timeout', () => request.destroy(new Error('no answer')));
		request.on('error', (error) => { told.failures.push(`${method} ${number}: ${error}`); resolve(); });
		request.end(method === 'POST' ? body : undefined);
	});
}

async function worker() {
	while (next < Number(count)) {
		await exchange(next++);
		if (Number(pauseMs) > 0)
			await new Promise((resolve) => setTimeout(resolve, Number(pauseMs) + Math.random() * 4 - 2));
	}
}

Promise.all(Array.from({length: Number(concurrency)}, worker)).then(() => {
	agent.destroy();
	console.log(JSON.stringify(told));
});
