/**
 * The live sessions of one gateway, put together: who is in memory, how messages
 * come, how memory follows the journal, and how all of them end.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { Journal } from "../../Journal.ts"
import { Outbox } from "../../Outbox.ts"
import type { Sessions } from "../../Sessions.ts"
import * as Deadlines from "../Deadlines.ts"
import { Registered } from "../registry.ts"
import { coming } from "./coming.ts"
import type { Alarm, SessionOptions } from "./Environment.ts"
import { makeFiles } from "./files.ts"
import { following } from "./following.ts"
import { Roster } from "./Roster.ts"
import { end, stopping } from "./stopping.ts"

/** The live sessions; their scope's end interrupts what runs and waits until it let go. */
export const makeSessions = Effect.fnUntraced(function* (options: SessionOptions) {
  const journal = yield* Journal
  const outbox = yield* Outbox
  const registered = yield* Registered
  const files = yield* makeFiles
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const alarms = yield* Deadlines.make<Alarm>((alarm) => alarm.ring())
  const roster = new Roster({ journal, outbox, registered, files, options, alarms }, yield* Clock.Clock, runFork)
  yield* Effect.addFinalizer(() => end(roster))
  return {
    ...coming(roster),
    ...following(roster),
    ...stopping(roster),
    idleTimeout: options.idleTimeout,
    queueMode: options.queue.mode,
    keepsQuestions: options.questions.keep,
    failed: Deferred.await(roster.failed),
    spending: Effect.sync(() => roster.env.spending.state()),
    live: Effect.sync(() => roster.all().map((session) => roster.describe(session))),
    watch: (conversationKey: string) =>
      roster.env.watchers.watch(conversationKey, () => roster.states(conversationKey)),
    quiet: (conversationKey: string) => roster.until(() => roster.isQuiet(conversationKey))
  } satisfies Sessions["Service"]
})
