/**
 * Puts the running gateway together: enters what the last boot left, starts the
 * channels, lets turns start, and hands the parts to the shutdown program. Made
 * last and released first, the program ends everything else in its order.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { Commands } from "../../Commands.ts"
import { GatewayError, type GatewayOptions, type Readiness, type Registry } from "./options.ts"
import type { CommandMessage, Gateway } from "../../Gateway.ts"
import { Intake } from "../../Intake.ts"
import { Journal, JournalError } from "../../Journal.ts"
import {
  Accepted,
  type AcceptError,
  Conflict,
  type Conversation,
  conversationKey,
  Invalid,
  mainSession,
  maxNameLength,
  parseConversationKey,
  sessionKey
} from "../../Message.ts"
import { Outbox } from "../../Outbox.ts"
import { Recovery } from "../../Recovery.ts"
import { Sessions } from "../../Sessions.ts"
import * as Shutdown from "../../Shutdown.ts"
import { cross } from "../boundary.ts"
import { transient } from "../channels/handle.ts"
import { Running } from "../channels/Running.ts"
import { problemsOf } from "../channels/states.ts"
import { Forgetting } from "../forgetting.ts"
import { type Entries, Registered } from "../registry.ts"
import { holdText } from "../session/Spending.ts"
import { sessionValues } from "../session/values.ts"
import { transcriptOf } from "../transcript.ts"
import { within } from "../shutdown/Course.ts"
import { channelControl, channelStates } from "./control.ts"
import { housekeeping } from "./housekeeping.ts"
import { entriesOf, hostChannel } from "./registry.ts"
import { reload } from "./reload.ts"

/** The shutdown program's view of the pipeline. */
const parts = Effect.fnUntraced(function* (running: Running, options: GatewayOptions<unknown>) {
  const journal = yield* Journal
  const outbox = yield* Outbox
  const sessions = yield* Sessions
  const intake = yield* Intake
  return {
    epoch: journal.opening.epoch,
    journal: {
      preMark: journal.preMark,
      stopBy: journal.stopBy,
      storeReport: journal.storeReport,
      close: journal.close,
      asked: journal.asked,
      ledger: journal.reads.ledger,
      waiting: journal.queued
    },
    intake,
    debouncer: { flush: intake.flush },
    sessions,
    outbox: {
      farewell: (reason: string) => Effect.flatMap(sessions.late, (late) => outbox.farewell(late, reason)),
      drain: outbox.drain,
      figures: outbox.deliveries
    },
    channels: {
      stopPollers: running.stopAll("poller"),
      close: () => Effect.andThen(running.stopAll("poller"), running.stopAll("server"))
    },
    get drains() {
      const { drains = [] } = options
      return typeof drains === "function" ? drains() : drains
    }
  } satisfies Shutdown.Parts
})

/** A conversation of the host by its bare name, or any by its key. */
const addressOf = (text: string, isChannel: (name: string) => boolean): Conversation => {
  const parsed = parseConversationKey(text)
  return parsed !== undefined && isChannel(parsed.channel)
    ? parsed
    : { channel: hostChannel, account: "", peer: text, thread: "" }
}

/**
 * Names that mean a channel, also when a reload or a restart has taken it away: what is said to it is held, and is not
 * the host's.
 */
const namesOf = (registered: Registered["Service"], stored: ReadonlySet<string>) => {
  const known = new Set([...registered.entries.channels.keys(), ...stored])
  return {
    isChannel: (name: string) => known.has(name) || registered.entries.channels.has(name),
    remember: () => {
      for (const name of registered.entries.channels.keys()) known.add(name)
    }
  }
}

/** Stands before the key of a command where the platform gives messages their ids. */
const beside = "command/"

/** Takes a command for a conversation that is there already: nobody is written to who never wrote. */
const commanding = Effect.fnUntraced(function* (
  journal: Journal["Service"],
  intake: Intake["Service"],
  registered: Registered["Service"],
  address: Conversation,
  { id, sender, text }: CommandMessage
): Effect.fn.Return<Accepted | undefined, AcceptError> {
  const known = yield* Effect.mapError(journal.conversation(conversationKey(address)), transient)
  if (known === undefined) return undefined
  const to = { conversation: address.peer, account: address.account, thread: address.thread, sender, text }
  if (id === undefined) return yield* intake.accept(address.channel, to)
  // A command with the key "43" must not make a repeat of the message that the platform calls 43.
  const own = registered.entries.channels.get(address.channel)?.kind === "server"
  const longest = own ? maxNameLength : maxNameLength - beside.length
  if (id.length > longest) {
    const remedy = `use at most ${longest} characters`
    return yield* new Invalid({ field: "id", value: `has ${id.length} characters`, remedy })
  }
  const { duplicate, held, seq } = yield* Effect.catchTag(
    intake.accept(address.channel, { ...to, id: own ? id : `${beside}${id}` }),
    "Conflict",
    ({ seq }) => Effect.fail(new Conflict({ id, seq }))
  )
  return new Accepted({ seq, id, duplicate, ...(held === undefined ? {} : { held }) })
})

/** Starts all channels beside each other; a server that can't start fails the gateway. */
const startChannels = (running: Running, registered: Registered["Service"]) =>
  Effect.forEach(
    registered.entries.channels,
    ([name, channel]) =>
      Effect.mapError(
        running.start(name, channel),
        (error) => new GatewayError({ field: `channels.${name}`, value: "does not start", remedy: error.reason })
      ),
    { concurrency: "unbounded", discard: true }
  )

/** How long the end of the scope waits for fibers that don't let go; the stop has waited for them before. */
const letGoWithin = 1000

/** Forks what lives as long as the gateway. */
const forking = Effect.gen(function* () {
  const fibers = new Set<Fiber.Fiber<unknown, unknown>>()
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  yield* Effect.addFinalizer(() =>
    Effect.gen(function* () {
      const exit = yield* within(Fiber.interruptAll([...fibers]), letGoWithin)
      if (Exit.isFailure(exit)) yield* Effect.logWarning("Channels that have not let go are left behind", exit.cause)
    })
  )
  return <A, E>(effect: Effect.Effect<A, E>): Fiber.Fiber<A, E> => {
    const fiber = runFork(effect)
    fibers.add(fiber)
    fiber.addObserver(() => fibers.delete(fiber))
    return fiber
  }
})

/** The new entries, with the agents that stay as they are: whoever keeps one warm goes on with it. */
const keeping = (before: Entries, next: Entries, same: (name: string) => boolean): Entries => ({
  ...next,
  agents: new Map([...next.agents].map(([name, agent]) => [name, (same(name) && before.agents.get(name)) || agent]))
})

/** Takes over a new registry, one after the other; what stays as it was is not touched. */
const exchanger = (
  first: Registry<unknown>,
  surroundings: Parameters<typeof reload>[0],
  one: Semaphore.Semaphore,
  isStopping: () => boolean
) => {
  let registry = first
  const exchange = Effect.fnUntraced(function* (next: Registry) {
    if (isStopping()) {
      return yield* new GatewayError({ field: "reload", value: "is too late", remedy: "the gateway is stopping" })
    }
    const before = registry
    const entries = keeping(
      surroundings.registered.entries,
      yield* entriesOf(next),
      (name) => before.agents[name] === next.agents[name]
    )
    const same = (name: string) =>
      name === hostChannel || (before.channels?.[name] !== undefined && before.channels[name] === next.channels?.[name])
    const lines = yield* reload(surroundings, entries, same)
    registry = next
    return lines
  })
  return (next: Registry) => one.withPermits(1)(exchange(next))
}

/** What tools and metrics ask for. */
const viewOf = Effect.gen(function* () {
  const journal = yield* Journal
  const outbox = yield* Outbox
  const { live, spending } = yield* Sessions
  const { epoch, instance, postMortem } = journal.opening
  const sessions = Effect.fnUntraced(function* (of: Parameters<typeof journal.reads.sessions>[0]) {
    const byId = new Map((yield* live).map((session) => [session.id, session]))
    return (yield* journal.reads.sessions(of)).map((row) => {
      const live = byId.get(row.id)
      // One that was set aside may still be in memory, where it has nothing to do any more.
      return { ...row, live: row.archived && live?.turn === undefined ? undefined : live }
    })
  })
  return {
    sessions: sessions({}),
    sessionsOf: (key: string) => sessions({ key }),
    live,
    audit: journal.reads.ledger,
    figures: journal.reads.figures,
    usage: journal.reads.usage,
    uncounted: journal.reads.uncounted,
    spending,
    deadLetters: {
      list: journal.reads.deadLetters({ limit: 1000 }),
      replay: outbox.replay,
      discard: outbox.discard
    },
    boot: { epoch, instance, postMortem: Shutdown.lastStop(postMortem) }
  }
})

/** What is not as it should be. */
const readinessOf = Effect.gen(function* () {
  const outbox = yield* Outbox
  const recovery = yield* Recovery
  const sessions = yield* Sessions
  return (state: { readonly ready: boolean; readonly stopping: boolean }, running: Running) =>
    Effect.gen(function* () {
      const held = yield* outbox.held
      const channels = yield* channelStates(running, outbox)
      const problems = [...problemsOf(channels)]
      if (state.stopping) problems.unshift("the gateway is stopping")
      for (const { channel, reason, why } of held) {
        if (why === "unconfigured") problems.push(`channel "${channel}" is ${why}: ${reason}`)
      }
      const paused = yield* recovery.paused
      if (paused !== undefined) problems.push(paused)
      // Messages are taken and kept all the same: whoever looks at readiness must not turn them away.
      const { hold } = yield* sessions.spending
      const notes = [
        ...(hold === undefined ? [] : [`turns wait for ${holdText(hold)}`]),
        ...channels.flatMap(({ name, state }) => (state === "stopped" ? [`channel "${name}" was stopped by hand`] : []))
      ]
      const ready = state.ready && problems.length === 0
      return { ready, problems, ...(notes.length === 0 ? {} : { notes }), channels } satisfies Readiness
    })
})

/** Completes when a conversation owes nothing that could go on now. */
const settledOf = Effect.gen(function* () {
  const commands = yield* Commands
  const sessions = yield* Sessions
  const outbox = yield* Outbox
  return (key: string) =>
    commands.drain.pipe(
      Effect.andThen(sessions.quiet(key)),
      Effect.andThen(outbox.settled(key)),
      // A reply may have been waiting for a turn that an earlier look saw end.
      Effect.andThen(sessions.quiet(key))
    )
})

/** What is done in a conversation that is named. */
const conversations = Effect.fnUntraced(function* (of: (text: string) => Conversation) {
  const journal = yield* Journal
  const outbox = yield* Outbox
  const sessions = yield* Sessions
  const intake = yield* Intake
  const forgetting = yield* Forgetting
  const registered = yield* Registered
  const keyOf = (text: string) => conversationKey(of(text))
  return {
    post: (conversation, post) => intake.post(of(conversation), post),
    command: (conversation, command) => commanding(journal, intake, registered, of(conversation), command),
    replies: (conversation, after = 0) => Stream.mapError(outbox.replies(keyOf(conversation), after), transient),
    progress: (conversation) => sessions.watch(keyOf(conversation)),
    data: (conversation, name = mainSession) => {
      const address = of(conversation)
      return sessionValues(journal, { address, name }, sessionKey(conversationKey(address), name))
    },
    forget: (conversation) => Effect.suspend(() => forgetting.conversation(of(conversation))),
    transcript: (conversation, session) => transcriptOf(journal, keyOf(conversation), session)
  } satisfies Partial<Gateway["Service"]>
})

/**
 * Whatever can't go on ends everything, in order, with its reason. A store that was closed is none: the stop did that, and
 * what it waited for no longer may still come to write.
 */
const ending = (failed: Effect.Effect<unknown>, { stop }: Shutdown.Shutdown): Effect.Effect<unknown> =>
  Effect.flatMap(failed, (cause) =>
    cause instanceof JournalError && cause.reason === "Closed"
      ? Effect.void
      : stop({ reason: "failure", by: "the gateway itself", cause })
  )

/**
 * What people at the controls may change while everything runs, one thing after the other. Each in a fiber of its own: it
 * may end the very server whose request asked for it.
 */
const changing = (
  first: Registry<unknown>,
  surroundings: Parameters<typeof reload>[0],
  isStopping: () => boolean,
  apart: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>
) => {
  const one = Semaphore.makeUnsafe(1)
  const exchange = exchanger(first, surroundings, one, isStopping)
  const { list, start, stop } = channelControl(surroundings, one, isStopping)
  return {
    reload: (next: Registry) => apart(exchange(next)),
    channels: { list, start: (name: string) => apart(start(name)), stop: (name: string) => apart(stop(name)) }
  }
}

/** The gateway of these options. */
export const makeGateway = Effect.fnUntraced(function* (options: GatewayOptions<unknown>) {
  const journal = yield* Journal
  const outbox = yield* Outbox
  const sessions = yield* Sessions
  const intake = yield* Intake
  const forgetting = yield* Forgetting
  const recovery = yield* Recovery
  const registered = yield* Registered
  const readiness = yield* readinessOf
  const settled = yield* settledOf
  const view = yield* viewOf
  const fork = yield* forking
  const clock = yield* Clock.Clock
  const state = { ready: false, stopping: false }

  const running = new Running(
    {
      intake,
      outbox,
      sessions,
      stopping: Effect.suspend(() => shutdown.began).pipe(Effect.asVoid)
    },
    fork,
    () => clock.currentTimeMillisUnsafe()
  )
  const shutdown = yield* Shutdown.make(yield* parts(running, options), options.drain)
  fork(
    Effect.map(shutdown.began, () => {
      state.stopping = true
    })
  )

  for (const failed of [journal.failed, sessions.failed, outbox.failed]) fork(ending(failed, shutdown))

  yield* recovery.load
  const stored = yield* journal.channels
  yield* startChannels(running, registered)
  yield* cross("boot:channels")
  const recovered = yield* recovery.start
  yield* cross("boot:backlog")
  fork(Effect.provideService(housekeeping(forgetting.rest), Journal, journal))
  state.ready = true
  yield* cross("boot:ready")
  yield* Effect.logDebug("Recovered").pipe(Effect.annotateLogs({ ...recovered }))

  const { isChannel, remember } = namesOf(registered, stored)
  const keyOf = (text: string) => conversationKey(addressOf(text, isChannel))
  const inConversations = yield* conversations((text) => addressOf(text, isChannel))

  const changes = changing(
    options,
    { registered, running, outbox, sessions },
    () => state.stopping,
    (effect) => Effect.suspend(() => Fiber.join(fork(effect)))
  )

  return {
    accept: (inbound) => intake.accept(hostChannel, inbound),
    ...inConversations,
    ...view,
    sessionsOf: (conversation) => view.sessionsOf(keyOf(conversation)),
    readiness: readiness(state, running),
    reload: (next) => Effect.ensuring(changes.reload(next), Effect.sync(remember)),
    channels: changes.channels,
    resume: recovery.resume,
    stop: shutdown.stop,
    stopped: shutdown.stopped,
    settled: (conversation) => settled(keyOf(conversation))
  } satisfies Gateway["Service"]
})
