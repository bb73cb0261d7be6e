// A proxy that compresses, as development servers do with Express's middleware. Argument: the target.
// Prints its address.
import http from "node:http";
import compression from "compression";

const target = process.argv[2];
const compress = compression();

const server = http.createServer((request, response) => {
  compress(request, response, () => {
    const { method, headers } = request;
    const forwarded = http.request(target + request.url, { method, headers }, (reply) => {
      response.writeHead(reply.statusCode, reply.headers);
      reply.pipe(response);
    });
    request.pipe(forwarded);
  });
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
