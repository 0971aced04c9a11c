// A shop for Node with express and fetch; its spans come from auto-instrumentations-node alone. See ../README.md.
const express = require("express");

const [port, stock, thirdParty] = process.argv.slice(2);
const app = express();
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

if (stock) {
  app.get("/item/:id", async (request, response) => {
    const answers = await Promise.all([fetch(`${stock}/stock/${request.params.id}`), fetch(`${thirdParty}/charge`)]);
    response.json({ stock: answers[0].status, charge: answers[1].status });
  });
} else {
  app.get("/stock/:id", async (request, response) => {
    await pause(5);
    response.json({ id: request.params.id });
  });
}
app.listen(Number(port), "127.0.0.1", () => console.log("ready"));
