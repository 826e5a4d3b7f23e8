/**
 * Runs admitted commands. A command is a row like any message: its effect, its
 * end and its reply are one transaction, so that a redelivered or replayed `/stop`
 * runs once and never cancels what came after it. Memory follows what was
 * committed; one conversation's commands run in their order.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Debouncer from "./Debouncer.ts"
import { Bursts } from "./internal/bursts.ts"
import { type Command, isCommand, parseCommand } from "./internal/commands/parse.ts"
import { help, list, status } from "./internal/commands/words.ts"
import { Forgetting } from "./internal/forgetting.ts"
import { optionOf } from "./internal/session/events.ts"
import { type CommandAction, type CommandOutcome, Journal, type JournalError, type Row } from "./Journal.ts"
import { Notices } from "./Notices.ts"
import { Outbox } from "./Outbox.ts"
import { Sessions } from "./Sessions.ts"

export { isCommand, switchesSession } from "./internal/commands/parse.ts"

/** The commands of one gateway. */
export class Commands extends Context.Service<
  Commands,
  {
    /** A command was committed: it runs after the conversation's earlier ones. Synchronous. */
    readonly pushUnsafe: (row: Row) => void
    /** Completes when every command that was pushed so far has its end. */
    readonly drain: Effect.Effect<void>
  }
>()("@sluice/runtime/Commands") {
  /** Commands over the journal and the live sessions. */
  static readonly layer = Layer.suspend(() => Layer.effect(Commands, make))
}

const action = (command: Command): CommandAction => {
  switch (command._tag) {
    case "Stop":
    case "Retry":
    case "New":
    case "Switch":
    case "Allow":
      return command
    case "Forget":
      return command.confirmed ? { _tag: "Forget" } : { _tag: "None" }
    case "Timeout":
      return command.minutes === undefined ? { _tag: "None" } : { _tag: "Timeout", millis: command.minutes * 60_000 }
    case "Queue":
      return command.mode === undefined ? { _tag: "None" } : { _tag: "Queue", mode: command.mode }
    default:
      return { _tag: "None" }
  }
}

const make = Effect.gen(function* () {
  const journal = yield* Journal
  const outbox = yield* Outbox
  const sessions = yield* Sessions
  const bursts = yield* Bursts
  const forgetting = yield* Forgetting
  const notices = yield* Notices
  const clock = yield* Clock.Clock

  /** What a command answers, from facts that were gathered before and what its transaction found. */
  const wording = Effect.fnUntraced(function* (row: Row, command: Command) {
    const live = yield* sessions.live
    const all = command._tag === "Sessions" ? yield* journal.reads.sessions({ conversation: row.conversation }) : []
    const say = (...args: Parameters<typeof notices.say>) => notices.say(...args).text
    return (outcome: CommandOutcome): string => {
      const { cancelled, session } = outcome
      switch (command._tag) {
        case "Stop":
          return cancelled.length === 0 && outcome.turn === undefined
            ? say("nothingToStop", {})
            : say("stopped", { waiting: cancelled.length })
        case "New":
          return say("startedNew", { name: command.name ?? "", waiting: cancelled.length })
        case "Switch":
          return outcome.missing ? say("noSuchName", { name: command.name }) : say("switched", { name: command.name })
        case "Status":
          return status(
            session,
            live.find(({ id }) => id === session.id)
          )
        case "Sessions":
          return list(all, live, clock.currentTimeMillisUnsafe())
        case "Timeout":
          return command.minutes === undefined
            ? say("timeoutIs", { timeout: session.idleTimeout ?? sessions.idleTimeout })
            : say("timeoutSet", { timeout: command.minutes * 60_000 })
        case "Queue":
          return command.mode === undefined
            ? say("queueIs", { mode: session.queueMode ?? sessions.queueMode })
            : say("queueSet", { mode: command.mode })
        case "Retry":
          return outcome.copies.length === 0
            ? say("nothingToRetry", {})
            : say("retrying", { messages: outcome.copies.length })
        case "Forget":
          return command.confirmed ? say("forgotten", { waiting: cancelled.length }) : say("forgetSure", {})
        case "Help":
          return help
        case "Allow":
          return outcome.permission === undefined
            ? say("permissionGone", {})
            : say("decided", { option: command.option })
        case "Refused":
          return say("notPossible", { value: command.value, allowed: command.allowed })
        case "Unknown":
          return say("notUnderstood", { command: command.word })
      }
    }
  })

  /** Memory follows the commit: what was cancelled leaves the bursts and the lines, and its agent lets go. */
  const follow = Effect.fnUntraced(function* (command: Command, outcome: CommandOutcome) {
    const bySession = new Map<number, Array<number>>()
    for (const { seq, session } of outcome.cancelled) bySession.set(session, [...(bySession.get(session) ?? []), seq])
    for (const [session, seqs] of bySession) {
      const gone = new Set(seqs)
      const discarded = yield* bursts.discard(session, (row) => gone.has(row.seq))
      if (discarded.length > 0) sessions.withdrawnUnsafe(session, discarded.length)
      yield* sessions.cancelled(session, seqs)
    }
    if (outcome.turn !== undefined) {
      yield* sessions.ended(outcome.turn.session, outcome.turn.id, command._tag === "New" ? "new" : "stop")
    }
    if (outcome.forgotten !== undefined) yield* forgetting.follow(outcome.forgotten)
    if (outcome.permission !== undefined) yield* sessions.decided(outcome.permission)
    if (command._tag === "Timeout" || command._tag === "Queue") yield* sessions.configured(outcome.session)
    yield* sessions.unpause(outcome.session.id)
  })

  /** The command of a row. What it answers to an open question is one of that question's options. */
  const read = (row: Row): Command => {
    const option = isCommand(row.text) ? undefined : sessions.answerUnsafe(row.session, row.text)
    if (option !== undefined) return { _tag: "Allow", number: undefined, option }
    const command = parseCommand(row.text)
    if (command._tag !== "Allow" || command.number === undefined) return command
    const question = sessions.questionUnsafe(row.conversation, command.number)
    if (question === undefined) return command
    const named = optionOf(question, command.option)
    return named === undefined
      ? { _tag: "Refused", value: command.option, allowed: question.options.join(", ") }
      : { ...command, option: named }
  }

  const run = Effect.fnUntraced(function* (row: Row): Effect.fn.Return<void, JournalError> {
    const command = read(row)
    const render = yield* wording(row, command)
    const session = yield* journal.session(row.session)
    if (session === undefined) return
    const outcome = yield* journal.command(
      row.seq,
      action(command),
      outbox.route(session.address),
      (found) => outbox.answer(session.address, render(found)).parts,
      outbox.noReply
    )
    if (outcome !== undefined) yield* follow(command, outcome)
  })

  /** A store that failed once may answer the next time; nobody else would run the command before the next boot. */
  const patience = {
    schedule: Schedule.exponential("100 millis"),
    times: 5,
    while: (error: JournalError) => error.reason === "Storage"
  }

  // No quiet period: each row is its own batch, in order within its conversation.
  const lanes = yield* Debouncer.make<number, Row>({
    quiet: 0,
    flush: (_, rows) =>
      Effect.forEach(
        rows,
        (row) =>
          // The row is still there: after these tries the next boot runs it. The journal has told the program of its failure.
          Effect.catch(Effect.retry(run(row), patience), (error) =>
            // A stop has closed the journal meanwhile: nothing failed.
            error.reason === "Closed"
              ? Effect.logDebug("A command waits for the next start")
              : Effect.logError("A command could not be run", error)
          ),
        { discard: true }
      )
  })

  return Commands.of({
    pushUnsafe: (row) => lanes.pushUnsafe(row.conversation, row),
    drain: lanes.flushAll
  })
})
