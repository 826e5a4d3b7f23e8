/**
 * Those who pull: each reader has a cursor and a small box that the doorbell
 * fills. What is in the box is handed on when it follows the cursor without a
 * hole; otherwise, and when the box ran over, the reader reads a page. So there is
 * no gap and no repeat, nothing polls, and a slow reader costs one bounded box.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { JournalError, Page, ReplyRow } from "../../Journal.ts"
import { conversationKey, type Reply } from "../../Message.ts"
import * as Doorbell from "../Doorbell.ts"

/** Most replies in a reader's box, and in a page. */
const boxSize = 64
const pageSize = 256
/** Most UTF-16 units of text in a box, and bytes in a page, unless its first reply alone has more: each reader has its own. */
const boxLength = 65_536

interface Reader {
  after: number
  box: Array<Reply>
  length: number
  /** There may be replies that the box doesn't have. */
  behind: boolean
  wake: Deferred.Deferred<void> | undefined
}

export interface Readers {
  /** Hands visible replies to those who read their conversation. Synchronous. */
  readonly ring: (rows: ReadonlyArray<ReplyRow>) => void
  readonly replies: (key: string, after: number) => Stream.Stream<Reply, JournalError>
  /** How many read now. */
  readonly size: () => number
}

const put = (reader: Reader, reply: Reply) => {
  if (reply.number <= reader.after || reader.behind) return
  reader.length += reply.text.length
  if (reader.box.length === 0 || (reader.box.length < boxSize && reader.length <= boxLength)) {
    reader.box.push(reply)
  } else {
    reader.box = []
    reader.length = 0
    reader.behind = true
  }
}

/** The box, when it goes on right after the cursor. */
const fromBox = (reader: Reader): ReadonlyArray<Reply> => {
  const replies = reader.box.filter((reply) => reply.number > reader.after).sort((a, b) => a.number - b.number)
  reader.box = []
  reader.length = 0
  const next = replies.filter((reply, index) => index === 0 || reply.number !== replies[index - 1]?.number)
  if (next.every((reply, index) => reply.number === reader.after + 1 + index)) return next
  reader.behind = true
  return []
}

export const make = Effect.fnUntraced(function* (
  page: (key: string, after: number, limit: number, bytes: number) => Effect.Effect<Page, JournalError>
): Effect.fn.Return<Readers> {
  const readers = new Map<string, Set<Reader>>()
  let rung: Array<Reader> = []
  // In the next turn: what a reader does with its replies must not run inside the journal's hand-over.
  const bell = yield* Doorbell.make(() => {
    const woken = rung
    rung = []
    for (const reader of woken) {
      const { wake } = reader
      reader.wake = undefined
      if (wake !== undefined) Deferred.doneUnsafe(wake, Effect.void)
    }
  })

  const leave = (key: string, reader: Reader) => {
    const all = readers.get(key)
    all?.delete(reader)
    if (all?.size === 0) readers.delete(key)
  }

  const enter = (key: string, after: number): Reader => {
    const reader: Reader = { after, box: [], length: 0, behind: true, wake: undefined }
    const all = readers.get(key)
    if (all === undefined) readers.set(key, new Set([reader]))
    else all.add(reader)
    return reader
  }

  /** The next replies, at least one. Only the page is read from the store; what is rung meanwhile lands in the box. */
  const next = Effect.fnUntraced(function* (
    key: string,
    reader: Reader
  ): Effect.fn.Return<ReadonlyArray<Reply>, JournalError> {
    while (true) {
      if (reader.behind) {
        reader.behind = false
        const { latest, replies } = yield* page(key, reader.after, pageSize, boxLength)
        reader.after = replies.at(-1)?.number ?? reader.after
        if (replies.length > 0) {
          // A page ends early where replies are long: its length does not say that it was the last one.
          reader.behind = reader.behind || latest > reader.after
          return replies
        }
      }
      const replies = fromBox(reader)
      reader.after = replies.at(-1)?.number ?? reader.after
      if (replies.length > 0) return replies
      if (reader.behind) continue
      reader.wake = Deferred.makeUnsafe<void>()
      yield* Deferred.await(reader.wake)
    }
  })

  return {
    ring: (rows) => {
      if (readers.size === 0) return
      for (const row of rows) {
        for (const reader of readers.get(conversationKey(row.reply.conversation)) ?? []) {
          put(reader, row.reply)
          if (reader.wake === undefined) continue
          rung.push(reader)
          bell.ring()
        }
      }
    },
    replies: (key, after) =>
      Stream.unwrap(
        Effect.map(
          Effect.acquireRelease(
            Effect.sync(() => enter(key, after)),
            (reader) => Effect.sync(() => leave(key, reader))
          ),
          (reader) => Stream.fromIterableEffectRepeat(next(key, reader))
        )
      ),
    size: () => [...readers.values()].reduce((sum, all) => sum + all.size, 0)
  }
})
