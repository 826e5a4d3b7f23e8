/**
 * What the store lets go, a bounded piece a round. Four settings: the ledger's
 * rows, the text of archived sessions, the claim on attachments' files, and dead
 * letters. What a session needs to resume stays while it is not archived. The
 * totals were counted when the rows were written, so the ledger balances before
 * and after. A row that answers repeats goes only when 8 days have passed on the
 * wall and 8 ticks of 24 h in uptime, so that no jump of a clock forgets it.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Retention } from "./reports.ts"
import type { Round } from "./round.ts"
import { ids } from "./statements.ts"

/** Days and ticks for which an id is recognised, whatever the settings say. */
export const dedupeDays = 8
/** Uptime of one tick, milliseconds. */
export const tickMillis = 86_400_000

/** The settings in milliseconds. */
export interface RetentionMillis {
  readonly ledger: number
  readonly transcript: number
  readonly attachments: number
  readonly deadLetters: number
}

const days = (count: number): number => count * 86_400_000

/** The settings, with their defaults: 90 days for the ledger, 30 for all else. */
export const retentionOf = (retention: Partial<Retention> | undefined): RetentionMillis => {
  const millis = (setting: Duration.Input | undefined, fallback: number): number =>
    setting === undefined ? fallback : Duration.toMillis(setting)
  return {
    ledger: millis(retention?.ledger, days(90)),
    transcript: millis(retention?.transcript, days(30)),
    attachments: millis(retention?.attachments, days(30)),
    deadLetters: millis(retention?.deadLetters, days(30))
  }
}

// Rows of one kind that one round lets go.
const piece = 500

interface Seq {
  readonly seq: number
}

// Ended messages that no live session needs: of archived sessions, and those that never reached an agent.
const letGo = `i.ending is not null and (s.archived = 1 or i.turn is null)`

const dropText = Effect.fnUntraced(function* (round: Round, before: number): Effect.fn.Return<number, SqlError> {
  const rows = yield* round.query<Seq>(
    `update sluice_inbound set text = '', sender = '' where seq in (
       select i.seq from sluice_inbound i join sluice_sessions s on s.id = i.session
       where ${letGo} and i.ended_at < ? and (i.text <> '' or i.sender <> '')
         and not exists (select 1 from sluice_untold u where u.session = i.session and u.seq = i.seq)
       limit ?)
     returning seq`,
    [before, piece]
  )
  const replies = yield* round.query<Seq>(
    `update sluice_replies set text = '' where id in (
       select r.id from sluice_replies r join sluice_turns t on t.id = r.turn join sluice_sessions s on s.id = t.session
       where s.archived = 1 and r.state in ('sent', 'unknown') and r.ended_at < ? and r.text <> '' limit ?)
     returning id as seq`,
    [before, piece]
  )
  return rows.length + replies.length
})

const dropLedger = Effect.fnUntraced(function* (
  round: Round,
  before: number,
  dedupeBefore: number
): Effect.fn.Return<number, SqlError> {
  const rows = yield* round.query<Seq>(
    `delete from sluice_inbound where seq in (
       select i.seq from sluice_inbound i join sluice_sessions s on s.id = i.session
       where ${letGo} and i.ended_at < ? and i.accepted_at < ? and i.tick <= ?
         and not exists (select 1 from sluice_untold u where u.session = i.session and u.seq = i.seq)
         and not exists (select 1 from sluice_turns t where t.id = i.turn and (t.ended_at is null or t.undelivered > 0))
       limit ?)
     returning seq`,
    [before, dedupeBefore, round.tick - dedupeDays, piece]
  )
  yield* round.query(`delete from sluice_attachments where seq in (select value from json_each(?))`, [
    ids(rows.map((row) => row.seq))
  ])
  const turns = yield* round.query<Seq>(
    `delete from sluice_turns where id in (
       select t.id from sluice_turns t join sluice_sessions s on s.id = t.session
       where t.ended_at < ? and t.undelivered = 0 and s.archived = 1 and s.set_aside is not t.id
         and not exists (select 1 from sluice_inbound i where i.seq in (select value from json_each(t.seqs)))
       limit ?)
     returning id as seq`,
    [before, piece]
  )
  return rows.length + turns.length
})

const dropReplies = Effect.fnUntraced(function* (round: Round, before: number): Effect.fn.Return<number, SqlError> {
  const rows = yield* round.query<Seq>(
    `delete from sluice_replies where id in (
       select r.id from sluice_replies r left join sluice_turns t on t.id = r.turn
         left join sluice_sessions s on s.id = t.session
       where r.ended_at < ? and r.state in ('sent', 'unknown') and (t.id is null or s.archived = 1) limit ?)
     returning id as seq`,
    [before, piece]
  )
  const questions = yield* round.query<Seq>(
    `delete from sluice_permissions where id in (
       select id from sluice_permissions where decided_at < ? limit ?) returning id as seq`,
    [before, piece]
  )
  const sentences = yield* round.query<Seq>(
    `delete from sluice_notices where id in (select id from sluice_notices where at < ? limit ?) returning id as seq`,
    [before, piece]
  )
  return rows.length + questions.length + sentences.length
})

const dropPosts = Effect.fnUntraced(function* (
  round: Round,
  before: number,
  dedupeBefore: number
): Effect.fn.Return<number, SqlError> {
  const rows = yield* round.query<Seq>(
    `delete from sluice_posts where id in (
       select id from sluice_posts where ended_at < ? and accepted_at < ? and tick <= ? limit ?)
     returning id as seq`,
    [before, dedupeBefore, round.tick - dedupeDays, piece]
  )
  return rows.length
})

/** Lets a piece go; returns the number of rows, 0 when nothing is left to do. */
export const compact = Effect.fnUntraced(function* (round: Round): Effect.fn.Return<number, SqlError> {
  const { now, retention } = round
  const dedupeBefore = now - days(dedupeDays)
  const text = yield* dropText(round, now - retention.transcript)
  const ledger = yield* dropLedger(round, now - retention.ledger, dedupeBefore)
  const replies = yield* dropReplies(round, now - retention.ledger)
  const posts = yield* dropPosts(round, now - retention.ledger, dedupeBefore)
  const files = yield* round.query<Seq>(
    `delete from sluice_attachments where seq in (
       select a.seq from sluice_attachments a join sluice_inbound i on i.seq = a.seq
       where i.ending is not null and i.ended_at < ? limit ?)
     returning seq`,
    [now - retention.attachments, piece]
  )
  const letters = yield* round.query<Seq>(
    `update sluice_replies set state = 'unknown', text = '', error = 'expired' where id in (
       select id from sluice_replies where state = 'dead' and ended_at < ? limit ?)
     returning id as seq`,
    [now - retention.deadLetters, piece]
  )
  return text + ledger + replies + posts + files.length + letters.length
})
