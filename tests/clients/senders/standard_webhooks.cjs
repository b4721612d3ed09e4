// Verifies deliveries with the library of Standard Webhooks itself. Each line of the input is one: {secret, headers, body}, the body in
// base64. Prints one line of JSON an input: what the body says, or why it is refused.
"use strict";

const { Webhook } = require("standardwebhooks");

function verified(line) {
  const { secret, headers, body } = JSON.parse(line);
  try {
    return { told: new Webhook(secret).verify(Buffer.from(body, "base64"), headers) };
  } catch (error) {
    return { refused: String(error.message) };
  }
}

const lines = require("fs").readFileSync(0, "utf8").split("\n").filter(Boolean);
for (const line of lines) console.log(JSON.stringify(verified(line)));
