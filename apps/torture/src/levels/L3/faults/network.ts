/**
 * Lines and people that are not what one would like: answers that never arrive,
 * connections cut in the middle, crowds of clients that open a connection and then say
 * or read nothing, far sides that answer with 429, 500, nonsense, late or never.
 */
import * as Effect from "effect/Effect"
import type { Fate, Fates } from "../../../world/far.ts"
import { kind } from "../../../world/far.ts"
import * as BadClients from "../BadClients.ts"
import { until } from "../Ground.ts"
import type { Ground, Group, Scenario } from "../Scenario.ts"
import type { Trouble } from "../Proxy.ts"

/** A share of the line's answers is in trouble. */
const badLine = (name: string, share: number, kinds: ReadonlyArray<Trouble>): Scenario => ({
  name,
  during: Effect.fnUntraced(function* ({ line, long, people }) {
    const sum = () => kinds.reduce((all, one) => all + line.counts[one], 0)
    const before = sum()
    line.trouble(share, kinds)
    yield* people.more(long ? 80 : 20)
    yield* until("an answer is lost", () => sum() > before)
    return { count: sum() - before, of: "answers lost" }
  }),
  mend: ({ line }) => Effect.sync(() => line.mend()),
  expects: { ends: [] }
})

/** Everything that the gateway says is held back for a while, then arrives at once. */
const stuck: Scenario = {
  name: "answers are stuck on the line",
  during: Effect.fnUntraced(function* ({ line, long }) {
    const before = line.counts.hold
    line.trouble(1, ["hold"])
    yield* Effect.sleep(long ? "5 seconds" : "700 millis")
    return { count: line.counts.hold - before, of: "answers held" }
  }),
  mend: badLine("", 0, []).mend,
  expects: { ends: [] }
}

/** What the far sides do to a share of what they are asked. */
const badFar = (name: string, share: number, of: (ground: Ground) => Fate): Scenario => ({
  name,
  during: Effect.fnUntraced(function* (ground) {
    let count = 0
    const fate: Fates = () => {
      if (ground.random() >= share) return { is: "answer" }
      count++
      return of(ground)
    }
    ground.far.fate = fate
    yield* ground.people.more(20)
    yield* until("a far side is asked", () => count > 1)
    return { count, of: "requests" }
  }),
  mend: ({ far }) =>
    Effect.sync(() => {
      far.fate = kind
      far.letGo()
    }),
  expects: { ends: [] }
})

/** A crowd stays while others are served, and is still there when the gateway stops. */
const crowd = (name: string, manners: ReadonlyArray<BadClients.Manner>, stops: boolean): Scenario => ({
  name,
  during: Effect.fnUntraced(function* (ground) {
    const gateway = yield* ground.gateway
    const port = Number(new URL(gateway.facts.url).port)
    const each = ground.long ? 60 : 15
    const there = yield* BadClients.come(port, gateway.token, each, manners)
    yield* ground.people.more(12)
    if (stops) yield* gateway.stop("a crowd of clients that neither speak nor read")
    return { count: there.connected(), of: "clients let in" }
  }),
  mend: () => Effect.void,
  expects: { ends: stops ? [0, 80] : [] }
})

export const network: Group = {
  name: "network",
  needs: ["line"],
  prepare: Effect.succeed({}),
  scenarios: [
    badLine("answers get lost on the line", 0.3, ["swallow"]),
    badLine("connections are cut in the middle", 0.3, ["cut"]),
    badLine("answers trickle", 0.5, ["trickle"]),
    stuck,
    badFar("far sides ask for patience", 0.5, ({ random }) => ({ is: "throttle", millis: Math.ceil(random() * 300) })),
    badFar("far sides answer with 500", 0.4, () => ({ is: "broken" })),
    badFar("far sides answer with nonsense", 0.4, () => ({ is: "garbage" })),
    badFar("far sides never answer", 0.2, () => ({ is: "never" })),
    badFar("far sides answer late", 0.5, ({ random }) => ({ is: "late", millis: Math.ceil(random() * 600) })),
    badFar("far sides cut the connection, before or after", 0.4, ({ random }) => ({
      is: random() < 0.5 ? "lost" : "unanswered"
    })),
    crowd("half-open and slow clients", BadClients.manners, false),
    crowd("half-open and slow clients at a stop", BadClients.manners, true)
  ]
}
