/**
 * Agents as they are: they hang, sleep, ignore SIGTERM, flood both streams, answer with
 * bytes that are no text, leave children behind, die at once or in the middle of an
 * answer. Each is over by a bound, its session goes on, and nobody else waits for it.
 */
import * as Effect from "effect/Effect"
import { marked } from "../../../world/Gateway.ts"
import { between } from "../proofs.ts"
import type { Ground, Group, Scenario } from "../Scenario.ts"
import { until } from "../Ground.ts"

/** Runs that began since a moment. */
const runsSince = (ground: Ground, from: number): number =>
  between(ground.world.file, from, Infinity).filter(({ op, phase }) => op === "run" && phase === "invoke").length

const polite: Scenario["mend"] = ({ behaviours }) => Effect.sync(() => void behaviours.splice(0, 1, "hello"))

/** Some write what makes their agent behave so; it has begun to when a guest's message has had its end. */
const behaving = (name: string, behaviour: string, guests: number): Scenario => ({
  name,
  during: Effect.fnUntraced(function* (ground) {
    const from = ground.world.history.now()
    const ids: Array<string> = []
    for (let n = 0; n < guests * (ground.long ? 3 : 1); n++) {
      ids.push(yield* ground.people.say(`sam`, behaviour))
      yield* ground.people.more(2)
    }
    yield* until(`every "${behaviour}" is over`, () => {
      const open = ground.people.unanswered()
      return ids.every((id) => !open.includes(id))
    })
    return { count: runsSince(ground, from), of: "runs" }
  }),
  mend: polite,
  expects: { ends: [] }
})

/** The kernel stops agents in the middle of their work, and lets them go on. */
const paused: Scenario = {
  name: "agents are stopped by SIGSTOP and continued",
  during: Effect.fnUntraced(function* (ground) {
    let count = 0
    for (let n = 0; n < (ground.long ? 8 : 3); n++) {
      const pids = marked(ground.world.file)
      const send = (signal: NodeJS.Signals) => {
        let sent = 0
        for (const pid of pids) {
          try {
            process.kill(pid, signal)
            sent++
          } catch {
            // It ended meanwhile.
          }
        }
        return sent
      }
      count += send("SIGSTOP")
      yield* Effect.sleep("300 millis")
      send("SIGCONT")
      yield* ground.people.more(2)
    }
    return { count, of: "agents stopped" }
  }),
  mend: () => Effect.void,
  expects: { ends: [] }
}

export const agents: Group = {
  name: "agents",
  needs: [],
  // The shortest there is: what hangs and what sleeps is found by it.
  prepare: Effect.succeed({ options: { agent: { stallTimeout: "1 second" } } }),
  scenarios: [
    behaving("they hang and ignore SIGTERM", "hang", 1),
    behaving("they fall asleep for ever", "asleep", 1),
    behaving("they print without end", "flood", 2),
    behaving("a hundred megabytes on standard error", "loud", 1),
    behaving("bytes that are no text", "garbage", 3),
    behaving("grandchildren that survive", "fork", 2),
    behaving("they die at once", "exit work0", 3),
    behaving("they die in mid-turn", "crash", 2),
    behaving("they die in the middle of an answer", "half", 2),
    paused
  ]
}
