/**
 * The stop ladder: ask, wait, SIGTERM, wait, SIGKILL, for a program and all its
 * kin. Every step is bounded and so is the whole; with less time left than the
 * steps would like, the waits shrink and the last step still happens.
 */
import * as Agent from "@sluice/runtime/Agent"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Kin } from "./kin.ts"

/** How long each step of the ladder waits before the next one. */
export interface Grace {
  /** After asking. */
  readonly ask: Duration.Input
  /** After SIGTERM. */
  readonly term: Duration.Input
  /** After SIGKILL, for the kernel to clear up. */
  readonly kill: Duration.Input
}

/** 3 s at most: 500 ms after asking, 2 s after SIGTERM, 500 ms after SIGKILL. */
export const defaultGrace: Grace = { ask: "500 millis", term: "2 seconds", kill: "500 millis" }

/** What a SIGKILL is given to take effect even when no time is left: it mostly takes one. */
const leastForKill = 100

/** Fits the waits into what is left, so that SIGKILL comes while somebody can still see its effect. */
export const fit = (
  grace: Grace,
  left: number
): { readonly ask: number; readonly term: number; readonly kill: number } => {
  const ask = Duration.toMillis(grace.ask)
  const term = Duration.toMillis(grace.term)
  const kill = Duration.toMillis(grace.kill)
  if (left >= ask + term + kill) return { ask, term, kill }
  const forKill = Math.min(kill, Math.max(leastForKill, left / 4))
  const before = Math.max(0, left - forKill)
  const forAsk = Math.min(ask, before / 4)
  return { ask: forAsk, term: Math.min(term, before - forAsk), kill: forKill }
}

/** The waits of one ladder. A stop that begins while it is climbed leaves less time than there was: then they shrink. */
const waitsOf = (grace: Grace, budget: Effect.Effect<number>, clock: Clock.Clock) => {
  let until = Infinity
  let waits = fit(grace, Infinity)
  return (step: keyof Grace): Effect.Effect<number> =>
    Effect.map(budget, (left) => {
      const end = Number(clock.monotonicTimeNanosUnsafe()) / 1e6 + left
      // Time that passes is no news, a nearer end is.
      if (end < until - 1) {
        until = end
        waits = fit(grace, left)
      }
      return waits[step]
    })
}

/** Ends a program and its kin. Does nothing when all are gone already. */
export const descend = Effect.fnUntraced(function* (
  kin: Kin,
  options: {
    readonly grace: Grace
    /** The first step, where the program has a way to be asked. */
    readonly ask?: Effect.Effect<void>
    /** Completes when the root ends. */
    readonly stir?: Effect.Effect<void>
    readonly killed: Agent.AgentSession["killed"]
  }
) {
  if (kin.look().length === 0) return
  const wait = waitsOf(options.grace, yield* Agent.StopBudget, yield* Clock.Clock)
  if (options.ask !== undefined) {
    yield* options.ask
    if (yield* kin.gone(wait("ask"), options.stir)) return
  }
  // A stopped process keeps SIGTERM waiting until it goes on.
  kin.signal("SIGTERM", "SIGCONT")
  if (yield* kin.gone(wait("term"), options.stir)) return
  const killed = new Set<number>()
  // Twice: what was forked while the table was read is not in the first round.
  let left = true
  for (let round = 0; left && round < 2; round++) {
    for (const entry of kin.signal("SIGKILL")) killed.add(entry.pid)
    left = !(yield* kin.gone(
      Effect.map(wait("kill"), (millis) => millis / 2),
      options.stir
    ))
  }
  for (const pid of killed) yield* options.killed({ pid, signal: "SIGKILL" })
  if (left) {
    yield* Effect.logWarning("processes could not be killed", {
      pids: kin.look().map((entry) => entry.pid)
    })
  }
})
