// @segment/analytics-node: waits as long as it is told; each event's callback says whether it was delivered.
"use strict"
const { Analytics } = require("@segment/analytics-node")
const { EVENTS, ROUNDS, tell } = require("./told.cjs")

tell(async (run, address) => {
  const delivered = new Set(), failed = new Set()
  const analytics = new Analytics({ writeKey: "server-key", host: address, flushAt: EVENTS, flushInterval: 200 })
  const track = (number) =>
    new Promise((resolve) =>
      analytics.track({ userId: run, event: "Product Viewed", properties: { number } }, (error, context) => {
        ;(error ? failed : delivered).add(context.event.messageId)
        resolve()
      }),
    )
  for (let round = 0; round < ROUNDS; round++) await Promise.all([...Array(EVENTS).keys()].map(track))
  return { delivered, failed }
})
