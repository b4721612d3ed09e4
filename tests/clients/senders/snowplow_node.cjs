// @snowplow/node-tracker: strings only, no key; what failed stays in its store until the next flush.
"use strict"
const { buildStructEvent, newTracker } = require("@snowplow/node-tracker")
const { EVENTS, ROUNDS, tell } = require("./told.cjs")

const PAUSE_MS = 250, TRIES = 40

tell(async (run, address) => {
  const delivered = new Set(), failed = new Set()
  const tracker = newTracker(
    { namespace: "tests", appId: "shop" },
    {
      endpoint: address,
      bufferSize: EVENTS,
      onRequestSuccess: (events) => events.forEach((event) => delivered.add(event.eid)),
      onRequestFailure: ({ events, willRetry }) => willRetry || events.forEach((event) => failed.add(event.eid)),
    },
  )
  tracker.setUserId(run)
  for (let round = 1; round <= ROUNDS; round++) {
    for (let number = 0; number < EVENTS; number++)
      tracker.track(buildStructEvent({ category: "shop", action: "Product Viewed", value: number }))
    for (let turn = 0; delivered.size + failed.size < round * EVENTS && turn < TRIES; turn++) {
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
      await tracker.flush()
    }
  }
  return { delivered, failed }
})
