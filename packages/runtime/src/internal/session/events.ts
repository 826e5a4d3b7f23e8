/**
 * What a running turn's events do: show progress to those who watch, store that a
 * tool with side effects runs (so that a crash presents its outcome as unknown),
 * ask a person without keeping a place that others could use, and add up what it used.
 */
import * as Effect from "effect/Effect"
import type { AgentEvent } from "../../Agent.ts"
import type { JournalError, PermissionRow } from "../../Journal.ts"
import type { Progress } from "../../Message.ts"
import type { Running, Session } from "../../Session.ts"
import { maxAnswer } from "./attempt.ts"
import { taken } from "./steering.ts"

/**
 * What is kept of an agent's events: open questions and running tools of a turn (beyond it nobody is asked, and a tool
 * is not remembered), and lengths in UTF-16 units (the rest of a text is cut off).
 */
const bounds = { open: 16, tools: 64, question: 4000, options: 20, option: 200, name: 256, line: 2000 }

/** The first part of a text, without half a character at its end. */
const upTo = (text: string, most: number): string =>
  text.length <= most ? text : text.slice(0, most).replace(/[\uD800-\uDBFF]$/, "")

const tell = (session: Session, event: Progress) => {
  const conversation = session.row?.conversationKey
  if (conversation !== undefined) session.env.watchers.tell(conversation, event)
}

const watched = (session: Session) => session.row !== undefined && session.env.watchers.has(session.row.conversationKey)

const text = (session: Session, running: Running, delta: string): Effect.Effect<void> => {
  // A sign of life at most: there is nothing to show, and a message can't be edited to nothing.
  if (delta === "") return Effect.void
  const turn = running.claimed.turn.id
  if (running.shown.length < maxAnswer) {
    running.shown += delta.slice(0, maxAnswer)
    running.written?.text(delta.slice(0, maxAnswer))
  }
  if (!running.responding) {
    running.responding = true
    session.tellState()
  }
  if (watched(session)) tell(session, { _tag: "Text", session: session.key, turn: String(turn), delta })
  return running.places ? session.env.outbox.progress(turn, running.shown) : Effect.void
}

/** Shows a line of progress: to those who watch, and in the placeholder until the answer begins. */
export const showLine = (session: Session, running: Running, line: string): Effect.Effect<void> => {
  const { id } = running.claimed.turn
  const text = upTo(line, bounds.line)
  running.written?.line(text)
  tell(session, { _tag: "Line", session: session.key, turn: String(id), text })
  return running.places && running.shown === "" ? session.env.outbox.progress(id, text) : Effect.void
}

const permission = (
  session: Session,
  running: Running,
  event: Extract<AgentEvent, { _tag: "Permission" }>
): Effect.Effect<void, JournalError> =>
  Effect.gen(function* () {
    const { env } = session
    const { claimed } = running
    if (env.gate.draining) {
      // Nobody is waited for in a stop: the turn is cut, and asks again when it resumes.
      session.cutOff({ _tag: "Interrupted", reason: env.stop.reason })
      return
    }
    if (event.options.length === 0 || session.questions.size >= bounds.open) {
      yield* Effect.logWarning("A question was not asked").pipe(
        Effect.annotateLogs({ session: session.key, options: event.options.length, open: session.questions.size })
      )
      return yield* event.respond(undefined)
    }
    const asked = event.options.slice(0, bounds.options).map((option) => upTo(option, bounds.option))
    const row = yield* env.journal.ask(claimed.turn.id, upTo(event.question, bounds.question), asked)
    // The turn was ended meanwhile: nobody can decide any more.
    if (row === undefined) return yield* event.respond(undefined)
    session.questions.set(row.id, { row, respond: event.respond })
    if (!running.pulse.waiting) {
      running.pulse.waiting = true
      session.leave()
    }
    const { number, options, question } = row
    tell(session, { _tag: "Permission", session: session.key, turn: String(row.turn), number, question, options })
    yield* env.outbox.notify(
      { conversation: claimed.session.conversation, address: claimed.session.address },
      "permission",
      {
        number,
        question,
        options: options.map((option, index) => `${index + 1}. ${option}`).join("\n")
      }
    )
    session.tellState()
  })

const toolStarted = (
  session: Session,
  running: Running,
  event: Extract<AgentEvent, { _tag: "ToolStarted" }>
): Effect.Effect<void, JournalError> => {
  const turn = String(running.claimed.turn.id)
  const name = upTo(event.name, bounds.name)
  const { id, sideEffects } = event
  if (running.tools.size < bounds.tools) running.tools.set(id, { name, sideEffects })
  running.written?.line(name)
  tell(session, { _tag: "ToolStarted", session: session.key, turn, id, name })
  session.tellState()
  return markTool(session, running)
}

/** Stores which tool with side effects runs, if that has changed: of several the one that began last. */
const markTool = (session: Session, running: Running): Effect.Effect<void, JournalError> =>
  Effect.suspend(() => {
    const { attempt, id } = running.claimed.turn
    const name = [...running.tools.values()].findLast((tool) => tool.sideEffects)?.name
    if (name === running.marked) return Effect.void
    running.marked = name
    return session.env.journal.tool(id, attempt, name)
  })

/** Handles one event of a running turn before the next one is taken. */
export const onEvent = (session: Session, running: Running, event: AgentEvent): Effect.Effect<void, JournalError> => {
  const turn = String(running.claimed.turn.id)
  switch (event._tag) {
    case "Text":
      return text(session, running, event.delta)
    case "ToolStarted":
      return toolStarted(session, running, event)
    case "ToolFinished":
      running.tools.delete(event.id)
      tell(session, { _tag: "ToolFinished", session: session.key, turn, id: event.id })
      session.tellState()
      return markTool(session, running)
    case "Permission":
      return permission(session, running, event)
    case "Line":
      return showLine(session, running, event.text)
    case "Usage": {
      const { model = running.claimed.session.model ?? "", usage } = event
      const priced = running.tally.add(usage, model, session.env.spending.prices)
      return priced ? Effect.void : session.env.spending.unpriced(model)
    }
    case "Alive":
      return Effect.void
    case "Steered":
      return taken(session, running, event.ids)
  }
}

/** The option of a question that a text names: by its words, whatever their case, or by its place. */
export const optionOf = ({ options }: PermissionRow, text: string): string | undefined => {
  const said = text.trim().toLowerCase()
  const words = options.find((option) => option.toLowerCase() === said)
  return words ?? (/^[1-9]\d?$/.test(said) ? options[Number(said) - 1] : undefined)
}

/** A person decided: the turn takes its place again and goes on. */
export const decided = Effect.fnUntraced(function* (session: Session, row: PermissionRow) {
  const open = session.questions.get(row.id)
  if (open === undefined) return
  session.questions.delete(row.id)
  const { running } = session
  if (running !== undefined && session.questions.size === 0 && running.pulse.waiting) {
    const entered = yield* session.enter(running)
    // It ended while it waited for its place: nobody hears the answer any more.
    if (session.running !== running) return
    if (entered && session.questions.size > 0) {
      // It asked again meanwhile.
      session.leave()
    } else if (entered) {
      running.pulse.waiting = false
      running.pulse.at = session.env.now()
      session.tellState()
    }
  }
  yield* open.respond(row.decision)
})

/** The turn is over: its questions have no answer any more. */
export const endPermissions = Effect.fnUntraced(function* (session: Session) {
  for (const { row } of session.questions.values()) yield* session.env.journal.unask(row.id, "cancelled")
  session.questions.clear()
})
