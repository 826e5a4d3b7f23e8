/**
 * Boots of a journal and an outbox over one file, for tests of the outbox. A boot
 * that "crashes" stops at a boundary and is left there: it commits nothing any
 * more, and the next boot's epoch fences it off, as it would another process.
 */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { mkdtempSync, rmSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import type { Channel } from "../src/Channel.ts"
import { Boundary, type Label } from "../src/internal/boundary.ts"
import { Registered } from "../src/internal/registry.ts"
import { type Draft, Journal, type JournalOptions } from "../src/Journal.ts"
import { type Conversation, conversationKey } from "../src/Message.ts"
import { Outbox, type OutboxOptions } from "../src/Outbox.ts"
import { memoryFolder } from "./memoryFolder.ts"

/** A file for a store, gone with the scope. */
export const storeFile = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(memoryFolder, "sluice-outbox-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  ),
  (folder) => join(folder, "store.db")
)

/** A turn that was claimed. */
export interface RunningTurn {
  readonly id: number
  readonly attempt: number
  readonly conversation: number
  readonly seq: number
}

/** A boot of the outbox over a store. */
export interface Boot {
  readonly journal: Journal["Service"]
  readonly outbox: Outbox["Service"]
  readonly registered: Registered["Service"]
  /** Ends it in order. */
  readonly close: Effect.Effect<void>
  /** Commits an outbound message to this peer of this channel. */
  readonly post: (channel: string, peer: string, text: string, id?: string) => Effect.Effect<void>
  /** Admits a message and claims it as a turn; `undefined` when a message with this id was claimed before. */
  readonly claim: (channel: string, peer: string, id?: string) => Effect.Effect<RunningTurn | undefined>
  /** The same for a message that is new. */
  readonly turn: (channel: string, peer: string) => Effect.Effect<RunningTurn>
  /** Ends a turn with these answers. */
  readonly answer: (
    turn: Pick<RunningTurn, "id" | "attempt">,
    to: Conversation,
    ...answers: ReadonlyArray<string | Draft>
  ) => Effect.Effect<void>
  /** Completes when nothing can be sent to this peer now. */
  readonly settled: (channel: string, peer: string) => Effect.Effect<void>
}

export const addressOf = (channel: string, peer: string): Conversation => ({ channel, account: "", peer, thread: "" })

/** Opens the store; nothing is delivered until `outbox.recover`. */
export const boot = Effect.fnUntraced(function* (options: {
  readonly file: string
  readonly channels: { readonly [name: string]: Channel }
  readonly outbox?: OutboxOptions
  readonly journal?: JournalOptions
  readonly at?: (label: Label) => Effect.Effect<void>
  /** Stands between the outbox and the journal. */
  readonly around?: (journal: Journal["Service"]) => Journal["Service"]
}) {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const registered: Registered["Service"] = {
    entries: {
      agents: new Map(),
      channels: new Map(Object.entries(options.channels)),
      personas: new Map(),
      spending: {}
    }
  }
  const { around = (journal) => journal } = options
  const layer = Outbox.layer(options.outbox).pipe(
    Layer.provideMerge(Layer.effect(Journal, Effect.map(Journal, around))),
    Layer.provideMerge(
      // The lock belongs to the process; here two boots of one process follow each other.
      Journal.layer(SqliteClient.layer({ filename: options.file }), { lock: Layer.empty, ...options.journal })
    ),
    Layer.provideMerge(Layer.succeed(Registered, registered)),
    Layer.provide(Layer.succeed(Boundary, options.at))
  )
  const context = yield* Layer.buildWithScope(layer, scope)
  const journal = Context.get(context, Journal)
  const outbox = Context.get(context, Outbox)
  journal.listen({ rows: () => {}, replies: outbox.repliesUnsafe, ended: () => {} })

  const claim: Boot["claim"] = (channel, peer, id) =>
    Effect.gen(function* () {
      const address = addressOf(channel, peer)
      const { seq } = yield* journal.admit({
        address,
        id,
        sender: peer,
        text: "hello",
        attachments: [],
        closes: false,
        command: false,
        quiet: 0,
        atMost: 0,
        asking: undefined
      })
      const session = (yield* journal.conversation(conversationKey(address)))?.session ?? 0
      const claimed = yield* journal.claim({ session, seqs: [seq], agent: "main" })
      if (claimed === undefined) return undefined
      return { id: claimed.turn.id, attempt: claimed.turn.attempt, conversation: claimed.session.conversation, seq }
    }).pipe(Effect.orDie)

  const made: Boot = {
    journal,
    outbox,
    registered,
    close: Scope.close(scope, Exit.void),
    post: (channel, peer, text, id) => {
      const address = addressOf(channel, peer)
      const { parts } = outbox.answer(address, text)
      return Effect.asVoid(Effect.orDie(journal.post({ address, id, text, parts, route: outbox.route(address) })))
    },
    claim,
    turn: (channel, peer) =>
      Effect.flatMap(claim(channel, peer), (turn) => Effect.fromNullishOr(turn)).pipe(Effect.orDie),
    answer: ({ id, attempt }, to, ...answers) =>
      Effect.asVoid(
        Effect.orDie(
          journal.settle({
            turn: id,
            attempt,
            route: outbox.route(to),
            placeholder: "(Ended without an answer.)",
            settlement: {
              _tag: "Done",
              replies: answers.map((answer) => (typeof answer === "string" ? outbox.answer(to, answer) : answer))
            }
          })
        )
      ),
    settled: (channel, peer) => outbox.settled(conversationKey(addressOf(channel, peer)))
  }
  return made
})

/** A recovered boot with these test channels. */
export const started = Effect.fnUntraced(function* (
  channels: { readonly [name: string]: { readonly channel: Channel } },
  options: Partial<Parameters<typeof boot>[0]> = {}
) {
  const made = yield* boot({
    file: options.file ?? (yield* storeFile),
    channels: Object.fromEntries(Object.entries(channels).map(([name, { channel }]) => [name, channel])),
    ...options
  })
  yield* made.outbox.recover
  return made
})

/** Replies that are owed. */
export const pending = ({ outbox }: Boot) => Effect.map(outbox.deliveries, (deliveries) => deliveries.pending)

export const hour = 3_600_000

/** The mark of the one further copy. */
export const maybeTwice = "(You may have seen this before: the connection dropped while I was sending it.)"

/**
 * The process dies at the `n`-th boundary that it comes to: a round ends there as
 * a kill would end it (nothing more is committed, the file is let go), everything
 * else just stops. `seen` has the labels up to there.
 */
export const crashAt = (n: number) => {
  const reached = Deferred.makeUnsafe<void>()
  const seen: Array<Label> = []
  const at = (label: Label): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (seen.length < n) seen.push(label)
      else return dead(label)
      if (seen.length < n) return Effect.void
      Deferred.doneUnsafe(reached, Effect.void)
      return dead(label)
    })
  return { at, seen, died: () => seen.length >= n, reached: Deferred.await(reached) }
}

/** The kernel takes a dead process's locks back: whoever died inside a transaction has let go of the file. */
export const released = (file: string): Effect.Effect<void> =>
  Effect.whileLoop({
    while: () => {
      const database = new DatabaseSync(file)
      try {
        database.exec("begin immediate; rollback")
        return false
      } catch {
        return true
      } finally {
        database.close()
      }
    },
    body: () => Effect.yieldNow,
    step: () => {}
  })

const dead = (label: Label) =>
  /^(before|inside|after):/.test(label) ? Effect.die(new Error("the process is dead")) : Effect.never
