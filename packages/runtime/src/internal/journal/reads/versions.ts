/**
 * What a conversation knows of a message by its id. A platform may deliver an edit
 * before the message that it is of, or once more after it: what is stored already
 * tells what has been overtaken.
 */
import * as Effect from "effect/Effect"
import type { Query } from "../store/database.ts"

/** The message that a conversation knows by this id. */
export const seqOf = (query: Query, key: string, id: string) =>
  Effect.map(
    query<{ readonly seq: number }>(
      `select seq from sluice_inbound where conversation = (select id from sluice_conversations where key = ?) and id = ?`,
      [key, id]
    ),
    ([row]) => row?.seq
  )

/** Nobody edits a message more often while it matters. */
const mostVersions = 100

/**
 * Ids of the message and of its versions, newest first. `0` comes right behind the slash that a version's id goes on with.
 * As one range of the index: with an `or` alone SQLite reads every id of the conversation.
 */
export const versions = (query: Query, key: string, id: string) =>
  Effect.map(
    query<{ readonly id: string }>(
      `select id from sluice_inbound
       where conversation = (select id from sluice_conversations where key = ?)
         and id >= ? and id < ? and (id = ? or id > ?)
       order by seq desc limit ?`,
      [key, id, `${id}0`, id, `${id}/`, mostVersions]
    ),
    (rows) => rows.map((row) => row.id)
  )
