/**
 * What a running turn asks a person: the question is a row, the answer a command.
 * While it is open the attempt keeps no place that others could use. A question
 * that nobody answers expires; one that a restart cuts off is found again by the
 * next attempt, with the decision that came meanwhile.
 */
import * as Effect from "effect/Effect"
import type { AgentEvent } from "../../Agent.ts"
import type { JournalError, PermissionRow } from "../../Journal.ts"
import type { Running, Session } from "../../Session.ts"
import type { Outcome } from "./attempt.ts"
import { Alarm } from "./Environment.ts"
import type { LiveSession } from "./records.ts"
import { tell, upTo } from "./telling.ts"

/** Open questions of a turn (beyond it nobody is asked), options of each, and lengths in UTF-16 units. */
const bounds = { open: 16, question: 4000, options: 20, option: 200 }

/** Options as a person reads them, a line each. */
const numbered = ({ options }: PermissionRow): string =>
  options.map((option, index) => `${index + 1}. ${option}`).join("\n")

/**
 * Something was written that is none of the options: who takes it for an answer would wait for ever, as the turn does.
 * Says once for each question that it is still open; `false` when there is nothing to say.
 */
export const remind = (session: Session): boolean => {
  const { env, row: to } = session
  const [question] = session.questions.values()
  if (question === undefined || question.reminded || to === undefined) return false
  question.reminded = true
  const { number, question: asked } = question.row
  env.background(
    env.outbox.notify({ conversation: to.conversation, address: to.address }, "undecided", {
      number,
      question: asked,
      options: numbered(question.row)
    })
  )
  return true
}

/** What a session has asked and was not told yet. */
export const asksOf = ({ questions }: Session): Pick<LiveSession, "asks"> => {
  const asks = [...questions.values()].map(({ row: { number, options, question } }) => ({ number, question, options }))
  return asks.length === 0 ? {} : { asks }
}

/** Asks a person. The attempt gives its place to others while it waits. */
export const ask = (
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
    const asked = event.options.slice(0, bounds.options).map((option) => upTo(option, bounds.option).toWellFormed())
    // A person is shown the beginning of a long option; the agent hears it as it said it.
    const respond = (decision: string | undefined) =>
      event.respond(decision === undefined ? undefined : event.options[asked.indexOf(decision)])
    const row = yield* env.journal.ask(claimed.turn.id, upTo(event.question, bounds.question), asked)
    // The turn was ended meanwhile, so nobody can decide any more; or a person has decided while nobody listened.
    if (row === undefined || row.decision !== undefined) return yield* respond(row?.decision)
    const expires = new Alarm(() => env.background(expire(session, running, row)))
    session.questions.set(row.id, { row, respond, expires, reminded: false })
    if (env.options.questions.expireAfter > 0) env.alarms.arm(expires, env.now() + env.options.questions.expireAfter)
    if (!running.pulse.waiting) {
      running.pulse.waiting = true
      session.leave()
    }
    const { number, options, question } = row
    tell(session, { _tag: "Permission", session: session.key, turn: String(row.turn), number, question, options })
    // Said again after a restart too: what a person answered in between, in words, was taken for a message.
    yield* env.outbox.notify(
      { conversation: claimed.session.conversation, address: claimed.session.address },
      "permission",
      {
        number,
        question,
        options: numbered(row)
      }
    )
    session.tellState()
  })

/** A person decided: the turn takes its place again and goes on. */
export const decided = Effect.fnUntraced(function* (session: Session, row: PermissionRow) {
  const open = session.questions.get(row.id)
  if (open === undefined) return
  session.questions.delete(row.id)
  session.env.alarms.disarm(open.expires)
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
      // While the person was asked nobody was silent.
      running.pulse.shownAt = running.pulse.at
      session.tellState()
    }
  }
  yield* open.respond(row.decision)
})

/** Nobody answered in time: the person hears of it, and the agent goes on without. */
const expire = Effect.fnUntraced(function* (session: Session, { claimed }: Running, row: PermissionRow) {
  // A decision that was committed first wins.
  if (!(yield* session.env.journal.unask(row.id, "expired"))) return
  yield* session.env.outbox.notify(
    { conversation: claimed.session.conversation, address: claimed.session.address },
    "permissionExpired",
    { question: row.question }
  )
  yield* decided(session, row)
})

/**
 * The attempt is over. Its questions have no answer any more, unless a stop cut it and they are kept: then the next
 * attempt asks the same ones again, and finds what was decided meanwhile.
 */
export const endQuestions = Effect.fnUntraced(function* (session: Session, outcome: Outcome) {
  const kept = session.env.options.questions.keep && outcome._tag === "Cut" && outcome.cut._tag === "Interrupted"
  for (const { expires, row } of session.questions.values()) {
    session.env.alarms.disarm(expires)
    if (!kept) yield* session.env.journal.unask(row.id, "cancelled")
  }
  session.questions.clear()
})
