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
import * as Option from "effect/Option"
import { Attachments } from "./Attachments.ts"
import * as Debouncer from "./Debouncer.ts"
import { Bursts } from "./internal/bursts.ts"
import { type Command, isCommand, parseCommand } from "./internal/commands/parse.ts"
import { Forgetting } from "./internal/forgetting.ts"
import { wording } from "./internal/commands/wording.ts"
import { optionOf } from "./internal/journal/writes/permissions.ts"
import { type Entries, Registered, resolveAgent } from "./internal/registry.ts"
import { markdown, transcript } from "./internal/transcript.ts"
import {
  type CommandAction,
  type CommandOutcome,
  Journal,
  type JournalError,
  type Row,
  type SessionRow
} from "./Journal.ts"
import type { Attachment } from "./Message.ts"
import { Notices } from "./Notices.ts"
import { Outbox } from "./Outbox.ts"
import { Sessions } from "./Sessions.ts"

export { isCommand, switchesSession } from "./internal/commands/parse.ts"

/** The commands of one gateway. */
export class Commands extends Context.Service<
  Commands,
  {
    /**
     * A command was committed: it runs after the conversation's earlier ones. Synchronous. `over` is called when it has
     * run, or was given up until the next boot.
     */
    readonly pushUnsafe: (row: Row, over?: () => void) => void
    /** Completes when every command that was pushed so far has its end. */
    readonly drain: Effect.Effect<void>
  }
>()("@sluice/runtime/Commands") {
  /** Commands over the journal and the live sessions. */
  static readonly layer = Layer.suspend(() => Layer.effect(Commands, make))
}

const action = (command: Command, entries: Entries): CommandAction => {
  switch (command._tag) {
    case "New":
      return command.persona === undefined
        ? command
        : { ...command, agent: resolveAgent(entries, { agent: "", persona: command.persona }).name }
    case "Stop":
    case "Retry":
    case "Switch":
    case "Allow":
      return command
    case "Forget":
      return command.confirmed ? { _tag: "Forget" } : { _tag: "None" }
    case "Timeout":
      return command.minutes === undefined ? { _tag: "None" } : { _tag: "Timeout", millis: command.minutes * 60_000 }
    case "Model":
      return command.model === undefined
        ? { _tag: "None" }
        : { _tag: "Model", model: command.model === "default" ? undefined : command.model }
    case "Output":
    case "Notices":
      return command
    case "Queue":
      return command.mode === undefined ? { _tag: "None" } : { _tag: "Queue", mode: command.mode }
    default:
      return { _tag: "None" }
  }
}

/** Why a command did not do what it was asked for, as the ledger and programs are told; empty when it did. */
const whyNot = (command: Command, { archived, busy, missing, permission }: CommandOutcome): string => {
  switch (command._tag) {
    case "Unknown":
      return "unknown"
    case "Refused":
    case "NoModels":
      return "refused"
    case "Unwritten":
      return "failed"
    case "Switch":
      return missing ? "missing" : ""
    case "Archive":
      return busy ? "busy" : archived === undefined ? "missing" : ""
    case "Allow":
      return permission === undefined ? "missing" : ""
    default:
      return ""
  }
}

/** Files that go with a command's reply. */
const filesOf = ({ archived }: CommandOutcome): ReadonlyArray<Attachment> =>
  archived?.file === undefined ? [] : [archived.file]

/** Commands that change how a session is. */
const settings: ReadonlySet<Command["_tag"]> = new Set(["Timeout", "Queue", "Model", "Output"])

interface Pushed {
  readonly row: Row
  readonly over: (() => void) | undefined
}

/** Most milliseconds between two tries of a command that the store refused. */
const longestPause = 1600

const make = Effect.gen(function* () {
  const journal = yield* Journal
  const outbox = yield* Outbox
  const sessions = yield* Sessions
  const bursts = yield* Bursts
  const forgetting = yield* Forgetting
  const notices = yield* Notices
  const registered = yield* Registered
  const attachments = yield* Effect.serviceOption(Attachments)
  const clock = yield* Clock.Clock

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
    if (settings.has(command._tag)) yield* sessions.configured(outcome.session)
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

  /** A model can be chosen only where the session's agent has it, and a persona only where there is one. */
  const checked = (command: Command, session: SessionRow): Command => {
    if (command._tag === "New" && command.persona !== undefined) {
      const known = new Set(["default", ...registered.entries.personas.keys()])
      return known.has(command.persona)
        ? command
        : { _tag: "Refused", value: command.persona, allowed: `the personas ${[...known].join(", ")}` }
    }
    if (command._tag !== "Model" || command.model === "default") return command
    const { agent, name } = resolveAgent(registered.entries, session)
    const models = agent?.models
    if (command.model === undefined) return Array.isArray(models) ? { ...command, offered: models } : command
    if (models === undefined) return { _tag: "NoModels", agent: name }
    return models === "any" || models.includes(command.model)
      ? command
      : { _tag: "Refused", value: command.model, allowed: ["default", ...models].join(", ") }
  }

  /** Writes the export of the session that a command is about, before its commit refers to it. */
  const exported = Effect.fnUntraced(function* (
    row: Row,
    { name }: Extract<Command, { readonly _tag: "Archive" }>
  ): Effect.fn.Return<CommandAction | undefined, JournalError> {
    const id = name === undefined ? row.session : yield* journal.sessionNamed(row.conversationKey, name)
    const outline = id === undefined ? undefined : yield* journal.outline(id)
    if (outline === undefined) return { _tag: "Archive", session: 0, upTo: 0, file: undefined }
    const { session, upTo } = outline
    // What is busy now stays so for this command, also if it is done before the commit: its export was not written.
    if (outline.busy) return { _tag: "Archive", session: session.id, upTo: -1, file: undefined }
    if (Option.isNone(attachments)) return { _tag: "Archive", session: session.id, upTo, file: undefined }
    const about = { type: markdown, limit: Number.MAX_SAFE_INTEGER }
    const file = yield* Effect.catchTag(
      attachments.value.put(transcript(journal, outline), about),
      ["Storage", "TooLarge"],
      (error) => Effect.as(Effect.logError("The export of a session could not be written", error), undefined)
    )
    return file === undefined ? undefined : { _tag: "Archive", session: session.id, upTo, file }
  })

  const run = Effect.fnUntraced(function* (row: Row): Effect.fn.Return<void, JournalError> {
    const session = yield* journal.session(row.session)
    if (session === undefined) return
    const asked = checked(read(row), session)
    const archive = asked._tag === "Archive" ? yield* exported(row, asked) : undefined
    const command: Command = asked._tag === "Archive" && archive === undefined ? { _tag: "Unwritten" } : asked
    const render = yield* wording(
      {
        journal,
        sessions,
        notices,
        now: () => clock.currentTimeMillisUnsafe(),
        told: outbox.tellsOfRestarts(session.address.channel)
      },
      row,
      command
    )
    const outcome = yield* journal.command(
      row.seq,
      archive ?? action(command, registered.entries),
      outbox.route(session.address),
      (found) => outbox.answer(session.address, render(found), filesOf(found)).parts,
      outbox.noReply,
      (found) => whyNot(command, found)
    )
    if (outcome !== undefined) yield* follow(command, outcome)
  })

  /** Whether it is still worth waiting for the store: nobody comes back to a journal that has ended. */
  const goesOn = (millis: number) =>
    Effect.timeoutOrElse(Effect.as(journal.failed, false), { duration: millis, orElse: () => Effect.succeed(true) })

  /** A store that failed once may answer the next time; nobody else would run the command before the next boot. */
  const patiently = (row: Row, pause = 100): Effect.Effect<void, JournalError> =>
    Effect.catchIf(
      run(row),
      (error) => error.reason === "Storage" && pause <= longestPause,
      (error) => Effect.flatMap(goesOn(pause), (more) => (more ? patiently(row, 2 * pause) : Effect.fail(error)))
    )

  // No quiet period: each row is its own batch, in order within its conversation.
  const lanes = yield* Debouncer.make<number, Pushed>({
    quiet: 0,
    flush: (_, pushed) =>
      Effect.forEach(
        pushed,
        ({ over, row }) =>
          // The row is still there: after these tries the next boot runs it. The journal has told the program of its failure.
          Effect.catch(patiently(row), (error) =>
            // A stop has closed the journal meanwhile: nothing failed.
            error.reason === "Closed"
              ? Effect.logDebug("A command waits for the next start")
              : Effect.logError("A command could not be run", error)
          ).pipe(Effect.ensuring(Effect.sync(() => over?.()))),
        { discard: true }
      )
  })

  return Commands.of({
    pushUnsafe: (row, over) => lanes.pushUnsafe(row.conversation, { row, over }),
    drain: lanes.flushAll
  })
})
