// @jitsu/js: an event a request, never repeated; its own fetch shows the ids that it gives and the answers that it gets.
"use strict"
const { jitsuAnalytics } = require("@jitsu/js")
const { EVENTS, ROUNDS, tell } = require("./told.cjs")

tell(async (run, address) => {
  const delivered = new Set(), failed = new Set()
  const watched = async (url, request) => {
    const { messageId } = JSON.parse(request.body)
    failed.add(messageId)
    const answer = await fetch(url, request)
    if (answer.ok) {
      failed.delete(messageId)
      delivered.add(messageId)
    }
    return answer
  }
  const jitsu = jitsuAnalytics({ host: address, writeKey: "server-key:secret", fetch: watched, errorPolicy: () => {} })
  await jitsu.identify(run, {})
  for (let number = 1; number < ROUNDS * EVENTS; number++) await jitsu.track("Product Viewed", { number })
  return { delivered, failed }
})
