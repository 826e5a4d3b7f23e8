/**
 * Agents as they are, of each kind: they hang, sleep, ignore SIGTERM, flood both streams, answer with
 * bytes that are no text, leave children behind, die at once or in the middle of an
 * answer. Each is over by a bound, its session goes on, and nobody else waits for it.
 */
import * as Effect from "effect/Effect"
import { type Kind, kinds } from "../../../world/clients.ts"
import { marked } from "../../../world/Gateway.ts"
import { between } from "../proofs.ts"
import type { Ground, Group, Scenario } from "../Scenario.ts"
import { until } from "../Ground.ts"

/** Runs with one of these messages that began since a moment. */
const runsSince = (ground: Ground, from: number, ids: ReadonlyArray<string>): number =>
  between(ground.world.file, from, Infinity).filter(
    (operation) =>
      operation.op === "run" && operation.phase === "invoke" && operation.ids.some((id) => ids.includes(id))
  ).length

/** So many speak with an agent of each kind. */
const guestsOfKind = 3

const guestOf = (kind: Kind, n: number): string => `${kind}-guest${n}`

const guests: Readonly<Record<string, Kind>> = Object.fromEntries(
  kinds.flatMap((kind) => Array.from({ length: guestsOfKind }, (_, n) => [guestOf(kind, n), kind]))
)

/** Guests write what makes their agents behave so, each its own; it has struck when their messages have had their end. */
const behaving = (name: string, behaviours: ReadonlyArray<string>, millis?: number): Scenario => ({
  name,
  during: Effect.fnUntraced(function* (ground) {
    const from = ground.world.history.now()
    const said = kinds.flatMap((kind) => behaviours.map((behaviour, n) => [guestOf(kind, n), behaviour] as const))
    const ids = yield* Effect.forEach(said, ([guest, behaviour]) => ground.people.say(guest, behaviour), {
      concurrency: "unbounded"
    })
    yield* ground.people.more(ground.long ? 30 : 6)
    const isOver = () => {
      const open = ground.people.unanswered()
      return ids.every((id) => !open.includes(id))
    }
    yield* until(`every agent that was told "${behaviours.join(", ")}" is over`, isOver, millis)
    return { count: runsSince(ground, from, ids), of: "runs" }
  }),
  mend: () => Effect.void,
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
  // What hangs and what sleeps is found by it; a machine that is busy needs the rest.
  prepare: Effect.succeed({
    options: {
      agent: { stallTimeout: "4 seconds" },
      // More turns at a time than guests: who hangs keeps nobody else waiting.
      configuration: { turns: { limit: 16, backoff: ["50 millis", "100 millis"] } },
      habits: { guests: Object.keys(guests), agents: { ...guests, ann: "acp", bob: "claude-code" } }
    }
  }),
  scenarios: [
    behaving("they hang and ignore SIGTERM, or fall asleep for ever", ["hang", "asleep", "hang"]),
    behaving("they print without end", ["flood", "flood"]),
    behaving("ten megabytes on standard error", ["loud10"]),
    // A piece of 64 kB each time that the gateway gets a processor: many times, where others want one too.
    { ...behaving("a hundred megabytes on standard error", ["loud100"], 600_000), long: true },
    behaving("bytes that are no text", ["garbage", "garbage", "garbage"]),
    behaving("grandchildren that survive", ["fork", "fork", "stubborn fork"]),
    behaving("they die at once", ["exit work0", "exit work0"]),
    behaving("they die in mid-turn", ["crash", "crash"]),
    behaving("they die in the middle of an answer", ["half", "half"]),
    paused
  ]
}
