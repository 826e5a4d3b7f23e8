/**
 * What a running turn's events do: show progress to those who watch, store that a
 * tool with side effects runs (so that a crash presents its outcome as unknown),
 * and add up what it used. What it asks a person is in questions.ts.
 */
import * as Effect from "effect/Effect"
import type { AgentEvent } from "../../Agent.ts"
import type { JournalError } from "../../Journal.ts"
import type { Running, Session } from "../../Session.ts"
import { maxAnswer } from "./attempt.ts"
import { ask } from "./questions.ts"
import { taken } from "./steering.ts"
import { tell, upTo } from "./telling.ts"

/**
 * What is kept of an agent's events: running tools of a turn (a tool beyond it is not remembered), and lengths in UTF-16
 * units (the rest of a text is cut off).
 */
const bounds = { tools: 64, name: 256, line: 2000 }

const watched = (session: Session) => session.row !== undefined && session.env.watchers.has(session.row.conversationKey)

const text = (session: Session, running: Running, delta: string): Effect.Effect<void> => {
  // A sign of life at most: there is nothing to show, and a message can't be edited to nothing.
  if (delta === "") return Effect.void
  const turn = running.claimed.turn.id
  running.written?.text(delta)
  if (running.shown.length < maxAnswer) running.shown += delta.slice(0, maxAnswer)
  if (!running.responding) {
    running.responding = true
    session.tellState()
  }
  if (running.quiet) return Effect.void
  if (watched(session)) tell(session, { _tag: "Text", session: session.key, turn: String(turn), delta })
  return running.places ? session.env.outbox.progress(turn, running.shown) : Effect.void
}

/** Shows a line of progress: to those who watch, and in the placeholder until the answer begins. */
export const showLine = (session: Session, running: Running, line: string): Effect.Effect<void> => {
  const { id } = running.claimed.turn
  const text = upTo(line, bounds.line)
  running.written?.line(text)
  if (running.quiet) return Effect.void
  tell(session, { _tag: "Line", session: session.key, turn: String(id), text })
  return running.places && running.shown === "" ? session.env.outbox.progress(id, text) : Effect.void
}

/** The wait for another try, in the place of what the one that failed had shown. A short one is none. */
export const showWait = (session: Session, running: Running, wait: number): Effect.Effect<void, JournalError> => {
  if (running.quiet || wait < 1000) return Effect.void
  const { env } = session
  const { session: row, turn } = running.claimed
  const line = env.outbox.sentence(row.address, "tryingAgain", { wait }).parts.join("")
  tell(session, { _tag: "Line", session: session.key, turn: String(turn.id), text: line })
  return running.places ? env.outbox.leave(turn.id, row, line) : Effect.void
}

/** A tool that runs, under what of the answer is there. */
const showTool = ({ env }: Session, { claimed, places, quiet, shown }: Running, tool: string): Effect.Effect<void> => {
  if (!places || quiet) return Effect.void
  const line = env.outbox.sentence(claimed.session.address, "usingTool", { tool }).parts.join(" ")
  return env.outbox.progress(claimed.turn.id, shown.trim() === "" ? line : `${shown}\n\n${line}`)
}

/** Its line goes again, where there is an answer that can stand without it. */
const hideTool = ({ env }: Session, { claimed, places, quiet, shown }: Running): Effect.Effect<void> =>
  places && !quiet && shown.trim() !== "" ? env.outbox.progress(claimed.turn.id, shown) : Effect.void

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
  if (!running.quiet) tell(session, { _tag: "ToolStarted", session: session.key, turn, id, name })
  session.tellState()
  return Effect.andThen(markTool(session, running), showTool(session, running, name))
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
      if (!running.quiet) tell(session, { _tag: "ToolFinished", session: session.key, turn, id: event.id })
      session.tellState()
      return Effect.andThen(markTool(session, running), hideTool(session, running))
    case "Permission":
      return ask(session, running, event)
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
      return taken(session, running, event)
  }
}
