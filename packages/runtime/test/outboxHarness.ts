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
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Channel } from "../src/Channel.ts"
import { Boundary, type Label } from "../src/internal/boundary.ts"
import { Registered } from "../src/internal/registry.ts"
import { type Draft, Journal, type JournalOptions } from "../src/Journal.ts"
import { type Conversation, conversationKey } from "../src/Message.ts"
import { Outbox, type OutboxOptions } from "../src/Outbox.ts"

/** A file for a store, gone with the scope. */
export const storeFile = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "sluice-outbox-"))),
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
}) {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const registered: Registered["Service"] = {
    entries: { agents: new Map(), channels: new Map(Object.entries(options.channels)), personas: new Map() }
  }
  const layer = Outbox.layer(options.outbox).pipe(
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
      return Effect.asVoid(Effect.orDie(journal.post({ address, id, parts, route: outbox.route(address) })))
    },
    claim,
    turn: (channel, peer) => Effect.flatMap(claim(channel, peer), (turn) => Effect.fromNullishOr(turn)).pipe(Effect.orDie),
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

/**
 * Stops the process at the `n`-th boundary that it comes to, until it is released
 * to find out that it was fenced off. `seen` has the labels so far.
 */
export const crashAt = (n: number) => {
  const reached = Deferred.makeUnsafe<Label>()
  const released = Deferred.makeUnsafe<void>()
  const seen: Array<Label> = []
  const at = (label: Label) =>
    Effect.suspend(() => {
      if (seen.length >= n) return Deferred.await(released)
      seen.push(label)
      if (seen.length < n) return Effect.void
      return Effect.andThen(Deferred.succeed(reached, label), Deferred.await(released))
    })
  return { at, seen, reached: Deferred.await(reached), release: Deferred.succeed(released, undefined) }
}
