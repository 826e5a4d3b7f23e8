/**
 * A channel of any delivery class with its far side in memory. The far side
 * acknowledges, drops, delays, duplicates, throttles or refuses as a test says,
 * request by request, and shows what a person would see there. It outlives the
 * gateway, so that a test can end one boot in a send window and start the next.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Channel from "../Channel.ts"
import type { Accepted, AcceptError, Conversation, Reply, Transient } from "../Message.ts"

/** A delivery class, with the policy of an ambiguous one. */
export type TestClass = "pull" | "keyed" | "edit" | "ambiguous-hold" | "ambiguous-resend"

/** All of them, for loops. */
export const testClasses: ReadonlyArray<TestClass> = ["pull", "keyed", "edit", "ambiguous-hold", "ambiguous-resend"]

/** What happens to one request. */
export type Fate =
  /** It arrives and is acknowledged. */
  | "answer"
  /** It is lost before it leaves: `NotSent`. */
  | "drop"
  /** It arrives, the acknowledgement is lost: `Unknown`. */
  | "lose-answer"
  /** It is lost on the way and nobody can tell: `Unknown`. */
  | "lose"
  /** The network delivers it twice; the second one is acknowledged. */
  | "duplicate"
  | "refuse"
  | "unauthorized"
  /** It dies of a programmer's error before it leaves. */
  | "defect"
  /** It arrives and is never acknowledged. */
  | "hang"
  /** It arrives, is never acknowledged, and ignores its interruption until the gate opens. */
  | { readonly stubborn: Deferred.Deferred<void> }
  | { readonly throttle: number; readonly scope: "conversation" | "channel" }
  /** It is held before it arrives. */
  | { readonly gate: Deferred.Deferred<void>; readonly then?: Fate }

/** What the gateway asked of the far side. */
export interface TestRequest {
  readonly kind: "deliver" | "place" | "edit" | "progress"
  readonly peer: string
  readonly text: string
  /** Id of the reply; of the far side's message for `progress`. */
  readonly id: string
}

interface Shown {
  readonly remoteId: string
  readonly key: string | undefined
  text: string
}

/** A channel and what a test does behind it. */
export interface TestChannel {
  readonly channel: Channel.Channel
  /** What a person sees now, in order: after edits, and without what the far side deduplicated. */
  readonly seen: (peer: string) => ReadonlyArray<string>
  /** Every request so far, as it was begun. */
  readonly requests: ReadonlyArray<TestRequest>
  /** Completes when so many requests (of a kind) have been begun since the start. */
  readonly requested: (count: number, kind?: TestRequest["kind"]) => Effect.Effect<void>
  /** Fates of the next requests, in order; afterwards all are answered. `progress` edits are not counted. */
  readonly fates: (...fates: ReadonlyArray<Fate>) => void
  /** The same for one kind of request; these come first. */
  readonly fatesOf: (kind: TestRequest["kind"], ...fates: ReadonlyArray<Fate>) => void
  /** The fate of every request that has none of its own. */
  readonly otherwise: (fate: Fate) => void
  /** Completes when the gateway has started the channel. */
  readonly started: Effect.Effect<Channel.Handle>
  /** Somebody writes. */
  readonly say: (peer: string, text: string, id?: string) => Effect.Effect<Accepted, AcceptError>
  /** Pull channels: reads on from where the last reader stopped, into `seen`, until the scope closes. */
  readonly follow: (peer: string) => Effect.Effect<void, Transient, Scope.Scope>
}

/** The far side: what is shown where, and what will happen. */
class FarSide {
  readonly requests: Array<TestRequest> = []
  readonly chats = new Map<string, Array<Shown>>()
  readonly cursors = new Map<string, number>()
  readonly fates: Array<Fate> = []
  readonly fatesOf = new Map<string, Array<Fate>>()
  otherwise: Fate = "answer"
  ids = 0
  waiting: Array<{ readonly met: () => boolean; readonly done: Deferred.Deferred<void> }> = []

  chat(peer: string) {
    const known = this.chats.get(peer)
    if (known !== undefined) return known
    const chat: Array<Shown> = []
    this.chats.set(peer, chat)
    return chat
  }

  add(peer: string, text: string, key?: string): string {
    const chat = this.chat(peer)
    const repeated = key === undefined ? undefined : chat.find((shown) => shown.key === key)
    if (repeated !== undefined) return repeated.remoteId
    const remoteId = `r${++this.ids}`
    chat.push({ remoteId, key, text })
    return remoteId
  }

  edit(peer: string, remoteId: string, text: string) {
    const shown = this.chat(peer).find((shown) => shown.remoteId === remoteId)
    if (shown !== undefined) shown.text = text
    return shown !== undefined
  }

  begin(request: TestRequest): Fate {
    this.requests.push(request)
    const told = this.waiting.filter(({ met }) => met())
    this.waiting = this.waiting.filter(({ met }) => !met())
    // Whoever is told may wait for the next one before this returns.
    for (const { done } of told) Deferred.doneUnsafe(done, Effect.void)
    const own = this.fatesOf.get(request.kind)?.shift()
    return own ?? (request.kind === "progress" ? undefined : this.fates.shift()) ?? this.otherwise
  }

  count(kind?: TestRequest["kind"]) {
    return this.requests.filter((request) => kind === undefined || request.kind === kind).length
  }
}

const undergo = (
  fate: Fate,
  arrive: () => string
): Effect.Effect<{ readonly remoteId: string }, Channel.DeliveryError> => {
  const answered = Effect.sync(() => ({ remoteId: arrive() }))
  if (typeof fate === "object") {
    if ("gate" in fate) return Effect.andThen(Deferred.await(fate.gate), undergo(fate.then ?? "answer", arrive))
    if ("stubborn" in fate) {
      return Effect.uninterruptible(Effect.tap(answered, () => Deferred.await(fate.stubborn)))
    }
    return Effect.fail(new Channel.Throttled({ retryAfter: fate.throttle, scope: fate.scope }))
  }
  switch (fate) {
    case "answer":
      return answered
    case "duplicate":
      return Effect.andThen(answered, answered)
    case "drop":
      return Effect.fail(new Channel.NotSent({ cause: new Error("no route") }))
    case "lose":
      return Effect.fail(new Channel.Unknown({ cause: new Error("read timeout") }))
    case "lose-answer":
      return Effect.andThen(answered, Effect.fail(new Channel.Unknown({ cause: new Error("read timeout") })))
    case "refuse":
      return Effect.fail(new Channel.Refused({ reason: "chat not found" }))
    case "unauthorized":
      return Effect.fail(new Channel.Unauthorized({ reason: "token revoked" }))
    case "defect":
      return Effect.die(new Error("undefined is not a function"))
    case "hang":
      return Effect.andThen(answered, Effect.never)
  }
}

const deliveryOf = (kind: TestClass, far: FarSide, showsProgress: boolean): Channel.Delivery => {
  const deliver = (reply: Reply) => {
    const peer = reply.conversation.peer
    return Effect.suspend(() =>
      undergo(far.begin({ kind: "deliver", peer, text: reply.text, id: reply.id }), () =>
        far.add(peer, reply.text, kind === "keyed" ? reply.id : undefined)
      )
    )
  }
  const edit = (what: "edit" | "progress", { peer }: Conversation, remoteId: string, text: string, id: string) =>
    Effect.suspend(() =>
      undergo(far.begin({ kind: what, peer, text, id }), () => {
        far.edit(peer, remoteId, text)
        return remoteId
      })
    )
  switch (kind) {
    case "pull":
      return Channel.pull
    case "keyed":
      return Channel.keyed(deliver)
    case "ambiguous-hold":
      return Channel.ambiguous("hold", deliver)
    case "ambiguous-resend":
      return Channel.ambiguous("resend-once", deliver)
    case "edit":
      return Channel.edit({
        place: ({ peer }, text) =>
          Effect.suspend(() => undergo(far.begin({ kind: "place", peer, text, id: "" }), () => far.add(peer, text))),
        edit: (remoteId, reply) => edit("edit", reply.conversation, remoteId, reply.text, reply.id),
        ...(showsProgress
          ? {
              progress: (remoteId: string, to: Conversation, text: string) =>
                Effect.asVoid(edit("progress", to, remoteId, text, remoteId))
            }
          : {})
      })
  }
}

/** A channel of the class, with an empty far side. Start it as often as you like: the far side stays. */
export const make = (options: {
  readonly class: TestClass
  readonly kind?: "poller" | "server"
  readonly split?: (text: string) => ReadonlyArray<string>
  /** Milliseconds. */
  readonly replyMaxAge?: number
  /** Class `edit`: shows a running turn's text (true). */
  readonly showsProgress?: boolean
}): TestChannel => {
  const far = new FarSide()
  let handle = Deferred.makeUnsafe<Channel.Handle>()
  const channel = Channel.make({
    kind: options.kind ?? "poller",
    delivery: deliveryOf(options.class, far, options.showsProgress ?? true),
    receive: (given) =>
      Effect.acquireUseRelease(
        Deferred.succeed(handle, given),
        () => Effect.andThen(given.ready, Effect.never),
        () => Effect.sync(() => void (handle = Deferred.makeUnsafe()))
      ),
    ...(options.split === undefined ? {} : { split: options.split }),
    ...(options.replyMaxAge === undefined ? {} : { replyMaxAge: options.replyMaxAge })
  })
  const started = Effect.suspend(() => Deferred.await(handle))
  return {
    channel,
    started,
    requests: far.requests,
    seen: (peer) => far.chat(peer).map((shown) => shown.text),
    requested: (count, kind) =>
      Effect.suspend(() => {
        const met = () => far.count(kind) >= count
        const done = Deferred.makeUnsafe<void>()
        if (met()) return Effect.void
        far.waiting.push({ met, done })
        return Deferred.await(done)
      }),
    fates: (...fates) => void far.fates.push(...fates),
    fatesOf: (kind, ...fates) => void far.fatesOf.set(kind, [...(far.fatesOf.get(kind) ?? []), ...fates]),
    otherwise: (fate) => void (far.otherwise = fate),
    say: (peer, text, id) =>
      Effect.flatMap(started, (handle) =>
        handle.accept({ conversation: peer, sender: peer, text, ...(id === undefined ? {} : { id }) })
      ),
    follow: (peer) =>
      Effect.flatMap(started, (handle) =>
        handle.replies({ conversation: peer }, far.cursors.get(peer) ?? 0).pipe(
          Stream.runForEach((reply) =>
            Effect.sync(() => {
              far.cursors.set(peer, reply.number)
              far.add(peer, reply.text)
            })
          ),
          Effect.forkScoped({ startImmediately: true }),
          Effect.asVoid
        )
      )
  }
}
