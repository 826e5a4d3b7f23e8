// A program that answers one turn: what an agent of kind `command` is started as, once for each turn. It has seen its
// prompt when it is started: what it needs until it can read is its own time.
import { readFileSync } from "node:fs"
import { answer, markOf, now, stamp } from "./stamp.mjs"

// In this order: a pause between the two readings counts against the gateway, never for it.
const since = performance.now()
const seen = now() - since
const { text } = JSON.parse(readFileSync(0, "utf8"))
const first = now()
const [last = "", ...before] = answer.toReversed()
for (const piece of before.toReversed()) process.stdout.write(piece)
stamp(process.argv[2], { turn: markOf(text), seen, first, said: now() })
process.stdout.write(last)
