/**
 * Placeholders: the rows by which edit channels show a running turn. A turn that
 * ends gives its placeholder the first part of its answer, or its end, or leaves
 * it as it stands; what a round changes of them is written in one go.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { ReplyKind } from "../../../Message.ts"
import type { Value } from "../store/database.ts"
import type { Draft } from "../records.ts"
import { attachmentsText, claimFiles, nextNumber } from "./replies.ts"
import type { Round } from "../writer/round.ts"
import { replyOf, type ReplyRecord, type TurnRecord } from "../store/rows.ts"
import { ids, update, updateAll } from "../store/statements.ts"

/** A placeholder that can still take the final text of its turn. */
export const isOpenPlaceholder = (row: ReplyRecord | undefined): row is ReplyRecord =>
  row !== undefined && (row.state === "reserved" || row.state === "placing" || row.state === "placed")

/** What a round does to placeholders. */
export class Placeholders {
  readonly #round: Round
  readonly #changed: Array<ReplyRecord> = []
  readonly #gone: Array<number> = []

  constructor(round: Round) {
    this.#round = round
  }

  /** Gives a placeholder its final text: it becomes visible, and the outbox edits it in. */
  fill(
    placeholder: ReplyRecord,
    text: string,
    kind: ReplyKind,
    inReplyTo: ReadonlyArray<string>,
    more: Pick<Draft, "attachments" | "whole" | "session"> = {}
  ): ReplyRecord {
    const filled: ReplyRecord = {
      ...placeholder,
      number: nextNumber(this.#round, placeholder.conversation),
      kind,
      text: text.isWellFormed() ? text : text.toWellFormed(),
      attachments: attachmentsText(more.attachments),
      session: more.session ?? null,
      ...(more.whole === undefined ? {} : { whole: more.whole.toWellFormed() }),
      // While it is being placed its id is not known yet: the step that stores the id moves it on.
      state: placeholder.state === "placing" ? "placing" : "pending",
      in_reply_to: inReplyTo.length === 0 ? null : JSON.stringify(inReplyTo),
      created_at: this.#round.now
    }
    this.#changed.push(filled)
    this.#round.replies.push(replyOf(filled, this.#round))
    return filled
  }

  /** Ends the placeholder of a turn that has no reply: edited to `text`, or left as it stands. */
  end(turn: Pick<TurnRecord, "placeholder">, placeholder: ReplyRecord | undefined, text: string | undefined): void {
    if (turn.placeholder === null || !isOpenPlaceholder(placeholder)) return
    // Nobody has seen a reserved one.
    if (placeholder.state === "reserved") this.#gone.push(placeholder.id)
    else if (text !== undefined) this.fill(placeholder, text, "notice", [])
    else if (placeholder.state === "placed") {
      this.#changed.push({ ...placeholder, state: "sent", ended_at: this.#round.now })
    }
  }

  /** Writes it all. */
  get write(): Effect.Effect<void, SqlError> {
    const { query } = this.#round
    const values: Array<Value> = []
    for (const row of this.#changed) {
      values.push(row.id, row.number, row.kind, row.text, row.state, row.in_reply_to, row.created_at, row.ended_at)
      values.push(row.attachments, row.whole ?? null, row.session)
    }
    const withFiles = this.#changed.filter((row) => row.attachments !== null)
    const changes = Effect.andThen(
      updateAll(query, updatePlaceholders, values),
      withFiles.length === 0 ? Effect.void : claimFiles(this.#round, withFiles)
    )
    return this.#gone.length === 0
      ? changes
      : Effect.andThen(
          changes,
          query.change(`delete from sluice_replies where id in (select value from json_each(?))`, [ids(this.#gone)])
        )
  }
}

const updatePlaceholders = update("sluice_replies", [
  "id",
  "number",
  "kind",
  "text",
  "state",
  "in_reply_to",
  "created_at",
  "ended_at",
  "attachments",
  "whole",
  "session"
])
