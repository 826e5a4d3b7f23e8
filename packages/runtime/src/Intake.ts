/**
 * Where messages come in. It checks them, has the journal commit them, and routes
 * what was committed, in order: commands to `Commands`, the rest into bursts. A
 * receipt means that the row is on disk; a caller that leaves in between changes
 * nothing, because the routing hangs on the journal's doorbell and not on it.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { Standing } from "./Channel.ts"
import { Commands, isCommand, switchesSession } from "./Commands.ts"
import { Bursts, burstRow } from "./internal/bursts.ts"
import { checkInbound, checkPost } from "./internal/intake/check.ts"
import { Receipts } from "./internal/intake/Receipts.ts"
import { Switches } from "./internal/intake/Switches.ts"
import { UnderWay } from "./internal/intake/UnderWay.ts"
import { Registered } from "./internal/registry.ts"
import { Journal, type JournalError, type Row } from "./Journal.ts"
import {
  Accepted,
  type AcceptError,
  type Conversation,
  conversationKey,
  type Inbound,
  RateLimited,
  ShuttingDown,
  Storage,
  type Transient
} from "./Message.ts"
import { Outbox, parts, routeOf } from "./Outbox.ts"
import { Sessions } from "./Sessions.ts"

/** Debounce where a channel has none of its own; milliseconds. */
export interface IntakeOptions {
  readonly quiet: number
  /** The cap of a burst; five times the quiet period by default. */
  readonly atMost: number | undefined
}

/** The intake of one gateway. */
export class Intake extends Context.Service<
  Intake,
  {
    /** Stores a message of a channel. Success = it is on disk. */
    readonly accept: (channel: string, inbound: Inbound) => Effect.Effect<Accepted, AcceptError>
    /** Stores an outbound message without a turn. */
    readonly post: (
      address: Conversation,
      post: { readonly id?: string; readonly text: string }
    ) => Effect.Effect<Accepted, AcceptError>
    /** Completes when the message has its end; `undefined` when it is not known. */
    readonly ended: (seq: number) => Effect.Effect<Standing | undefined, Transient>
    /** Ids of a message and of its versions that are stored, newest first. */
    readonly versions: (conversationKey: string, id: string) => Effect.Effect<ReadonlyArray<string>, Transient>
    /** Holds the conversation's burst open while the scope is, up to the cap. */
    readonly receiving: (conversationKey: string) => Effect.Effect<void, never, Scope.Scope>
    /** Commands of an older boot: they run like new ones. */
    readonly recover: (commands: ReadonlyArray<Row>) => Effect.Effect<void>
    /** Phase 2 of a stop: receipts say `held` from now on. */
    readonly hold: Effect.Effect<void>
    /** Phase 3: closes all bursts; returns the last seq that was handed on before. */
    readonly flush: Effect.Effect<{ readonly lastSeq: number }>
    /** Phase 7: nothing is committed any more. */
    readonly refuse: Effect.Effect<void>
  }
>()("@sluice/runtime/Intake") {
  /** The intake over everything to its right. */
  static readonly layer = (
    options: IntakeOptions
  ): Layer.Layer<Intake, never, Journal | Outbox | Sessions | Bursts | Commands | Registered> =>
    Layer.effect(Intake, make(options))
}

/** How long a caller waits that is turned away while the gateway stops, or behind a full queue; milliseconds. */
const retryAfter = 5000

const storage = (error: JournalError): Transient =>
  error.reason === "Closed" ? new ShuttingDown({ retryAfter }) : new Storage({ retryAfter, cause: error })

/** The same receipt, saying that the answer comes after the restart. */
const heldBack = ({ duplicate, id, seq }: Accepted) => new Accepted({ seq, id, duplicate, held: true })

/** How a message stands, as soon as it has its end. */
const endOf = (journal: Journal["Service"], receipts: Receipts) => {
  const standing = (seq: number) =>
    Effect.mapError(
      Effect.map(
        journal.standing(seq),
        (found): Standing | undefined => found && { seq, id: found.row.id, ended: found.ended, replies: found.replies }
      ),
      storage
    )

  return (seq: number): Effect.Effect<Standing | undefined, Transient> =>
    Effect.gen(function* () {
      // Registered before the look, so that an end in between is not missed.
      const ring = receipts.await(seq)
      const now = yield* Effect.onExit(standing(seq), (exit) =>
        Effect.sync(() => {
          if (exit._tag === "Failure" || exit.value === undefined || exit.value.ended !== undefined) ring.leave()
        })
      )
      if (now === undefined || now.ended !== undefined) return now
      yield* Effect.ensuring(ring.rung, Effect.sync(ring.leave))
      return yield* standing(seq)
    })
}

/** Where committed rows go: commands to be run, the rest into bursts. */
const routing = (
  to: {
    readonly journal: Journal["Service"]
    readonly outbox: Outbox["Service"]
    readonly sessions: Sessions["Service"]
    readonly bursts: Bursts["Service"]
    readonly commands: Commands["Service"]
  },
  receipts: Receipts,
  switches: Switches,
  isEditing: () => boolean
) => {
  let lastSeq = 0

  const push = (command: Row) => {
    if (!switchesSession(command.text)) return to.commands.pushUnsafe(command)
    switches.stored(command.seq, command.conversationKey)
    // One that could not be run has no end before the next boot: nobody waits for it until then.
    to.commands.pushUnsafe(command, () => switches.ended([command.seq]))
  }

  const route = (row: Row) => {
    lastSeq = row.seq
    if (row.command) return push(row)
    to.sessions.arrivingUnsafe(row.session)
    to.bursts.pushUnsafe(row.session, burstRow(row))
  }

  to.journal.listen({
    rows: (rows) => {
      for (const row of rows) route(row)
    },
    replies: to.outbox.repliesUnsafe,
    ended: (seqs) => {
      switches.ended(seqs)
      receipts.ended(seqs)
      if (isEditing()) to.sessions.supersededUnsafe(seqs)
    }
  })

  return { push, lastSeq: () => (lastSeq === 0 ? to.journal.opening.lastSeq : lastSeq) }
}

/** Newer versions of messages, and words of deletions, that are being stored. */
class Edits {
  count = 0

  during<A, E>(stored: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.suspend(() => {
      this.count++
      return Effect.ensuring(
        stored,
        Effect.sync(() => void this.count--)
      )
    })
  }
}

const make = Effect.fnUntraced(function* (options: IntakeOptions) {
  const journal = yield* Journal
  const outbox = yield* Outbox
  const sessions = yield* Sessions
  const bursts = yield* Bursts
  const commands = yield* Commands
  const registered = yield* Registered
  const receipts = new Receipts()
  const switches = new Switches()
  const underWay = new UnderWay()
  let held = false
  let refused = false
  const edits = new Edits()
  const routed = routing({ journal, outbox, sessions, bursts, commands }, receipts, switches, () => edits.count > 0)

  const debounce = (channel: string) => {
    const quiet = registered.entries.channels.get(channel)?.quiet ?? options.quiet
    return { quiet, atMost: options.atMost === undefined ? 5 * quiet : Math.max(options.atMost, quiet) }
  }

  /**
   * Stores a message, as one of the session that it will be of. Memory forgets conversations, and after a boot it knows
   * none: the answer to a question that is open again would pass for a message, so then the store is asked.
   */
  const admitted = (channel: string, inbound: Inbound, address: Conversation, key: string) => {
    const known = journal.currentUnsafe(key)
    if (known !== undefined || !sessions.mindfulUnsafe()) return admit(channel, inbound, address, known)
    const asked = Effect.mapBoth(journal.conversation(key), {
      onFailure: storage,
      onSuccess: (found) => found?.session
    })
    return Effect.flatMap(asked, (session) => admit(channel, inbound, address, session))
  }

  const admit = (
    channel: string,
    inbound: Inbound,
    address: Conversation,
    session: number | undefined
  ): Effect.Effect<Accepted, AcceptError> => {
    if (refused) return Effect.fail(new ShuttingDown({ retryAfter }))
    const command =
      inbound.withdraws !== undefined ||
      (inbound.replaces === undefined &&
        (isCommand(inbound.text) ||
          (session !== undefined && sessions.answerUnsafe(session, inbound.text) !== undefined)))
    // A poller would come to a halt for all its chats: there it is stored, falls, and its sender is told.
    const hears = registered.entries.channels.get(channel)?.kind === "server"
    const room = command || !hears || session === undefined ? Infinity : sessions.roomUnsafe(session)
    const admitted = admitting(channel, inbound, address, command)
    if (session === undefined || room === Infinity) return admitted
    return underWay.of(session) < room
      ? underWay.counted(session, admitted)
      : Effect.andThen(isRepeat(address, inbound.id), admitted)
  }

  /** A full queue refuses what is new; a repeat gets its first receipt all the same. */
  const isRepeat = (address: Conversation, id: string | undefined): Effect.Effect<void, AcceptError> => {
    const refusal = Effect.fail(new RateLimited({ retryAfter, scope: "queue" }))
    if (id === undefined) return refusal
    const known = Effect.mapError(journal.seqOf(conversationKey(address), id), storage)
    return Effect.flatMap(known, (seq) => (seq === undefined ? refusal : Effect.void))
  }

  const admitting = (channel: string, inbound: Inbound, address: Conversation, command: boolean) => {
    const stored = journal.admit({
      address,
      id: inbound.id,
      sender: inbound.sender,
      text: inbound.text,
      attachments: inbound.attachments ?? [],
      closes: inbound.closes ?? false,
      command,
      ...debounce(channel),
      asking: inbound.asking,
      replaces: inbound.replaces,
      withdraws: inbound.withdraws
    })
    const isEdit = inbound.replaces !== undefined || inbound.withdraws !== undefined
    const admitted = isEdit ? edits.during(stored) : stored
    // Looked at after the commit: a stop may have begun meanwhile.
    return Effect.map(admitted, (accepted) => (held ? heldBack(accepted) : accepted))
  }

  const accept = (channel: string, inbound: Inbound): Effect.Effect<Accepted, AcceptError> =>
    Effect.suspend(() => {
      const invalid = checkInbound(inbound)
      if (invalid !== undefined) return Effect.fail(invalid)
      const address: Conversation = {
        channel,
        account: inbound.account ?? "",
        peer: inbound.conversation,
        thread: inbound.thread ?? ""
      }
      const key = conversationKey(address)
      const switching = inbound.replaces === undefined && switchesSession(inbound.text)
      if (switches.idle && !switching) return admitted(channel, inbound, address, key)
      // Behind a switch its session is known when that has had its effect.
      const later = Effect.suspend(() => admitted(channel, inbound, address, key))
      if (!switching) return Effect.andThen(switches.settled(key), later)
      return Effect.andThen(
        switches.settled(key),
        Effect.suspend(() => {
          switches.begin(key)
          return Effect.ensuring(
            later,
            Effect.sync(() => switches.end(key))
          )
        })
      )
    })

  const post = (address: Conversation, entry: { readonly id?: string; readonly text: string }) =>
    Effect.suspend((): Effect.Effect<Accepted, AcceptError> => {
      const invalid = checkPost(address, entry)
      if (invalid !== undefined) return Effect.fail(invalid)
      if (refused) return Effect.fail(new ShuttingDown({ retryAfter }))
      const channel = registered.entries.channels.get(address.channel)
      const { id, text } = entry
      return journal.post({ address, id, text, parts: parts(channel, text), route: routeOf(channel) })
    })

  return Intake.of({
    accept,
    post,
    ended: endOf(journal, receipts),
    versions: (key, id) => Effect.mapError(journal.versions(key, id), storage),
    receiving: (key) =>
      Effect.suspend(() => {
        const session = journal.currentUnsafe(key)
        return session === undefined ? Effect.void : bursts.hold(session)
      }),
    recover: (rows) => Effect.sync(() => rows.forEach(routed.push)),
    hold: Effect.sync(() => {
      held = true
    }),
    flush: Effect.suspend(() => {
      const last = routed.lastSeq()
      // Now, and not when the flush is through: what is committed meanwhile must not start either.
      sessions.narrowUnsafe(last)
      return Effect.as(bursts.flushAll, { lastSeq: last })
    }),
    refuse: Effect.sync(() => {
      refused = true
      switches.clear()
    })
  })
})
