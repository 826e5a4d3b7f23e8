/**
 * How messages come to a session: announced when they are committed, handed over
 * when their burst closes. Behind a running turn they wait, are handed to it, cut it
 * off, or fall at the cap. Synchronous, because the journal's hand-over waits for nobody.
 */
import type { PermissionRow, RowKey } from "../../Journal.ts"
import type { Session } from "../../Session.ts"
import { optionOf } from "../journal/writes/permissions.ts"
import { drop } from "./drop.ts"
import { remind } from "./questions.ts"
import type { Roster } from "./Roster.ts"
import { canSteer, handedOf } from "./steering.ts"

/** The messages came while a turn runs. */
const behind = (roster: Roster, session: Session) => {
  const { outbox } = roster.env
  const { line, row, running } = session
  if (line.mode === "interrupt") session.cutOff({ _tag: "Cancelled", by: "interrupt" })
  // What the turn was handed is its own to take over: it may have acted upon it already.
  // Mostly it was handed nothing, and the line is not copied for each message that joins it.
  const handed = running === undefined || running.handed.upTo === 0 ? 0 : handedOf(line.items(), running.handed)
  const fallen = line.overflow(handed)
  if (fallen.length > 0) roster.background(drop(session, fallen))
  if (running !== undefined && canSteer(session)) return running.handed.ring()
  if (remind(session)) {
    session.toldWaiting = true
    return
  }
  if (session.toldWaiting || row === undefined || outbox.route(row.address).pull || line.mode === "interrupt") return
  session.toldWaiting = true
  roster.background(outbox.notify({ conversation: row.conversation, address: row.address }, "waiting", {}))
}

/** The doorbells and questions of the intake. */
export const coming = (roster: Roster) => ({
  arrivingUnsafe: (id: number) => {
    const session = roster.of(id)
    session.arriving++
    session.tellState()
  },
  withdrawnUnsafe: (id: number, count: number) => {
    const session = roster.of(id)
    session.arriving = Math.max(0, session.arriving - count)
    roster.wake(session)
  },
  supersededUnsafe: (seqs: ReadonlyArray<number>) => {
    const gone = new Set(seqs)
    // Else they count as waiting: a message that is edited again and again would make others fall at the cap.
    roster.live.someBusy((session) => {
      session.line.clear(({ seq }) => gone.has(seq))
      return false
    })
  },
  sendUnsafe: (id: number, rows: ReadonlyArray<RowKey>) => {
    const session = roster.of(id)
    session.arriving = Math.max(0, session.arriving - rows.length)
    // A burst that finds nobody at work waits behind nothing, however many turns it takes; nor does what a boot brings.
    session.exempt = session.running === undefined && (session.line.size === 0 || !roster.env.gate.isOpen)
    for (const row of rows) session.line.push(row)
    if (session.running !== undefined) behind(roster, session)
    roster.wake(session)
  },
  roomUnsafe: (id: number) => roster.get(id)?.room ?? Infinity,
  // Both only while a turn runs: thousands may wait, but few run.
  mindfulUnsafe: () => roster.live.someBusy((session) => session.questions.size > 0 || session.room <= 0),
  answerUnsafe: (id: number, text: string) => {
    const open = roster.get(id)?.questions
    if (open === undefined || open.size === 0) return undefined
    const questions = [...open.values()]
    // With more than one question open a bare number names none of them.
    if (questions.length > 1 && /^\s*\d+\s*$/.test(text)) return undefined
    for (const { row } of questions) {
      const option = optionOf(row, text)
      if (option !== undefined) return option
    }
    return undefined
  },
  questionUnsafe: (conversation: number, number: number) => {
    let found: PermissionRow | undefined
    roster.live.someBusy((session) => {
      if (session.row?.conversation !== conversation) return false
      for (const { row } of session.questions.values()) if (row.number === number) found = row
      return found !== undefined
    })
    return found
  }
})
