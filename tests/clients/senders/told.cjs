// What every client for Node here does around its own calls: a process sends several runs at once and tells how each went.
"use strict"

const ROUNDS = 2, EVENTS = 3 // the first request meets what goes wrong, the second shows that the client goes on

// Send each run of the command line ("name=address"); print one JSON line a run. `send` gives the ids of events that the client believes
// delivered, and of those it has given up.
exports.tell = async (send) => {
  await Promise.all(
    process.argv.slice(2).map(async (told) => {
      const at = told.indexOf("=")
      const run = told.slice(0, at)
      const { delivered, failed } = await send(run, told.slice(at + 1))
      console.log(JSON.stringify({ run, delivered: [...delivered], failed: [...failed] }))
    }),
  )
  process.exit(0) // some clients keep a timer
}

exports.ROUNDS = ROUNDS
exports.EVENTS = EVENTS
