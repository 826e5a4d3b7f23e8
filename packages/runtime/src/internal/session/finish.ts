/**
 * Ends an attempt in the journal: the answer and its replies in one transaction,
 * an error as another try or as a turn that is set aside, a cut as a turn that the
 * next boot resumes. Whoever ended the turn first wins; the loser's words are
 * thrown away and nothing is said twice.
 */
import * as Effect from "effect/Effect"
import type { Claimed, Draft, JournalError, Settlement } from "../../Journal.ts"
import type { Attachment } from "../../Message.ts"
import type { Running, Session } from "../../Session.ts"
import type { Cut, Outcome } from "./attempt.ts"
import { markdown } from "../transcript.ts"
import { beginning, shortLength } from "./beginning.ts"
import { showWait } from "./events.ts"
import { replyText } from "./Written.ts"

/** The first words of a turn's messages, by which people recognise it. */
export const firstWords = ({ rows }: Claimed): string => rows[0]?.text ?? ""

const spentIn = ({ env }: Session, { tally }: Running) => tally.spent(() => env.spending.today.day)

const settle = (session: Session, running: Running, settlement: Settlement) => {
  const { session: row, turn } = running.claimed
  const spent = spentIn(session, running)
  return session.env.journal.settle({
    turn: turn.id,
    attempt: turn.attempt,
    settlement,
    route: session.env.outbox.route(row.address),
    placeholder: session.env.outbox.noReply,
    ...(spent === undefined ? {} : { spent })
  })
}

type Failed = Extract<Outcome, { _tag: "Failed" }>

/** A further try would come to the same end. A model that nobody here chose is the operator's to put right meanwhile. */
const isFinal = ({ session }: Claimed, { reason }: Failed): boolean =>
  reason === "Rejected" || reason === "HistoryGone" || (reason === "NoModel" && session.model !== undefined)

/** What its person is told of a turn that is not tried again. */
const lastWord = ({ env }: Session, claimed: Claimed, { models = [], reason }: Failed, count: number): Draft => {
  const { address, model } = claimed.session
  const ref = env.reference(claimed.turn.id)
  if (reason === "HistoryGone") return env.outbox.sentence(address, "historyGone", {})
  if (reason === "Rejected") return env.outbox.sentence(address, "rejected", { ref })
  return reason === "NoModel" && model !== undefined
    ? env.outbox.sentence(address, "noModel", { model, models: models.join(", ") })
    : env.outbox.sentence(address, "setAside", { words: firstWords(claimed), count, ref })
}

const failed = Effect.fnUntraced(function* (
  session: Session,
  running: Running,
  outcome: Failed
): Effect.fn.Return<void, JournalError> {
  const { claimed } = running
  const { env } = session
  const errors = claimed.turn.errors + 1
  const wait = isFinal(claimed, outcome) ? undefined : env.options.backoff[errors - 1]
  yield* Effect.logWarning(
    wait === undefined ? "A turn failed and is set aside" : "A turn failed and is tried again"
  ).pipe(
    Effect.annotateLogs({
      session: session.key,
      turn: claimed.turn.id,
      attempt: claimed.turn.attempt,
      agent: claimed.turn.agent,
      reason: outcome.reason,
      reference: env.reference(claimed.turn.id),
      error: outcome.error.slice(0, 8192)
    })
  )
  if (wait === undefined) {
    const said = lastWord(session, claimed, outcome, errors)
    yield* settle(session, running, {
      _tag: "Suspended",
      why: outcome.reason === "HistoryGone" ? "ask" : "failed",
      // What brings it back is a command in its own session.
      replies: [{ ...said, session: claimed.session.name }]
    })
    return
  }
  const still = yield* settle(session, running, { _tag: "Retry", error: outcome.error.slice(0, 1024), wait })
  if (!still) return
  session.open = { turn: { ...claimed.turn, errors }, fromBoot: false, awaited: false, notBefore: env.now() + wait }
  yield* showWait(session, running, wait)
})

const cut = Effect.fnUntraced(function* (
  session: Session,
  running: Running,
  by: Cut
): Effect.fn.Return<void, JournalError> {
  const { claimed } = running
  if (by._tag === "Interrupted") {
    const still = yield* settle(session, running, {
      _tag: "Interrupted",
      reason: by.reason,
      asked: session.env.stop.roll?.isAsking(claimed.turn.id) === true
    })
    // It is the next boot's, and comes first: a drain that still starts turns must start none of this session behind it.
    if (still) session.open = { turn: claimed.turn, fromBoot: false, awaited: false, notBefore: session.env.now() }
    return
  }
  // A command has ended the turn already, in its own transaction; a newer message ends it here.
  if (by.by !== "interrupt") {
    const spent = spentIn(session, running)
    if (spent !== undefined) yield* session.env.journal.spend(claimed.turn.id, spent)
    return
  }
  // A command that was faster has ended it for good: nobody goes on from there.
  const cancelled = yield* settle(session, running, { _tag: "Cancelled", by: "interrupt", replies: [] })
  if (cancelled) session.context = claimed.turn.id
})

/** Whether an answer is sent as it is; else the session wants its beginning, and people get the file with all of it. */
const isShort = ({ env, row }: Session, { claimed }: Running, text: string): boolean =>
  row?.outputMode !== "smart" || text.length <= shortLength || !env.outbox.carriesFiles(claimed.session.address)

/** An answer as a draft, with whose it is. */
const spoken = (
  { env }: Session,
  { claimed }: Running,
  text: string,
  files: ReadonlyArray<Attachment> = []
): Draft => ({ ...env.outbox.answer(claimed.session.address, text, files), session: claimed.session.name })

/** The beginning of an answer with all of it in a file, which is stored before the settlement refers to it. */
const shortened = (session: Session, running: Running, text: string): Effect.Effect<Draft> => {
  const about = { type: markdown, name: `answer-${running.claimed.turn.id}.md` }
  return Effect.map(session.env.files.store(text, about), (file) =>
    file === undefined
      ? spoken(session, running, text)
      : { ...spoken(session, running, beginning(text), [file]), whole: text }
  )
}

/** Ends the attempt; completes when that is committed. */
export const finish = (session: Session, running: Running, outcome: Outcome): Effect.Effect<void, JournalError> => {
  switch (outcome._tag) {
    case "Answered": {
      const text = replyText(running, outcome.text)
      const done = (replies: ReadonlyArray<Draft>) => Effect.asVoid(settle(session, running, { _tag: "Done", replies }))
      if (text.trim() === "") return done([])
      return isShort(session, running, text)
        ? done([spoken(session, running, text)])
        : Effect.flatMap(shortened(session, running, text), (draft) => done([draft]))
    }
    case "Failed":
      return failed(session, running, outcome)
    case "Cut":
      return cut(session, running, outcome.cut)
  }
}
