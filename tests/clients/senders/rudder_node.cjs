// @rudderstack/rudder-sdk-node: gzip under the content type of a form, and a time of sending that looks like an event's.
"use strict"
const RudderAnalytics = require("@rudderstack/rudder-sdk-node")
const { randomUUID } = require("node:crypto")
const { EVENTS, ROUNDS, tell } = require("./told.cjs")

tell(async (run, address) => {
  const delivered = new Set(), failed = new Set()
  const options = { dataPlaneUrl: address, flushAt: EVENTS, flushInterval: 200, logLevel: "none" }
  const client = new RudderAnalytics("server-key", { ...options, errorHandler: () => {} }) // each event's callback tells
  const track = (number) =>
    new Promise((resolve) => {
      const messageId = randomUUID()
      client.track({ userId: run, event: "Product Viewed", messageId, properties: { number } }, (error) => {
        ;(error ? failed : delivered).add(messageId)
        resolve()
      })
    })
  for (let round = 0; round < ROUNDS; round++) {
    const told = [...Array(EVENTS).keys()].map(track)
    await client.flush()
    await Promise.all(told)
  }
  return { delivered, failed }
})
