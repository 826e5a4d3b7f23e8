/**
 * One turn: the message, what the CLI says of it as events, and letting go. The
 * CLI's answer outlives its reader: who stops reading interrupts the turn by the
 * protocol and waits, within a bound, for the CLI to say that it has stopped,
 * because only then the next message may be sent. One that does not is ended. What
 * it was handed and says nothing of is taken back; one that does not give it back
 * is ended, too, and the turn goes on with it.
 */
import * as Agent from "@sluice/runtime/Agent"
import type { TurnMessage } from "@sluice/runtime/Message"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Listener } from "./connection.ts"
import { failed, rejected } from "../failure.ts"
import { interrupt, type LettingGo, type Ours, sent, takeBack } from "./handing.ts"
import { ClaudeError, refused, saysUnknown, told } from "./failure.ts"
import { type Message, number, text, texts } from "./lines.ts"
import { asking, byPolicy, decision, type Policy } from "./permission.ts"
import { translator, usageOf } from "./updates.ts"

/** How many events may wait for a reader before reading from the CLI pauses. */
const behind = 512

/**
 * How long the CLI may say nothing between a result and what was handed over behind it, in milliseconds. Nothing follows
 * from that time but that it is asked to give it back.
 */
const patience = 30_000

/** What a turn needs. */
export interface Options extends LettingGo {
  /** Id of the message, by which the CLI and its transcript know it. */
  readonly uuid: string
  readonly content: ReadonlyArray<Message>
  readonly permissions: Policy
  /** What earlier turns of the process used when nobody listened any more: told with this one, because it is paid for. */
  readonly unclaimed: Array<Agent.AgentEvent>
  /** The turn has an answer: what there is to remember before it is told. */
  readonly answered: Effect.Effect<void, Agent.AgentError>
  /** Further messages are about to be sent under this id: what there is to remember before the CLI hears of them. */
  readonly handing: (uuid: string, messages: ReadonlyArray<TurnMessage>) => Effect.Effect<void, Agent.AgentError>
}

/** A turn that runs. */
export interface Running {
  readonly events: Stream.Stream<Agent.AgentEvent, Agent.AgentError>
  /**
   * Hands further messages to it: the CLI takes them at its next step, or goes on with them when it has just ended.
   * Either way they are this turn's, which `Steered` tells.
   */
  readonly steer: (messages: ReadonlyArray<TurnMessage>, content: ReadonlyArray<Message>) => Effect.Effect<void>
  /**
   * What the turn has still to go on with, once its events are over: the CLI ended without a word about these, they are
   * the turn's, and it can't take them any more.
   */
  readonly further: () => ReadonlyArray<TurnMessage>
}

type Item = { readonly event: Agent.AgentEvent } | { readonly result: Exit.Exit<Message, ClaudeError> }
type Translator = ReturnType<typeof translator>

/** The message as the CLI reads it. */
export const userMessage = (uuid: string, content: ReadonlyArray<Message>): Message => ({
  type: "user",
  uuid,
  message: { role: "user", content },
  parent_tool_use_id: null
})

const cutByLength = "\n[The answer ends here: it reached the limit on its length.]"
const cutBySteps = "\n[I stopped here: I reached the limit on steps for one request.]"

/** What a result says of the turn: the last words of the answer, or why there is none. */
const conclusion = (
  result: Message,
  said: Translator,
  program: string
): ReadonlyArray<Agent.AgentEvent> | Agent.AgentError => {
  const unfinished = (problem: string) => new ClaudeError({ kind: "Unfinished", program, problem })
  const answer = text(result, "result")
  const subtype = text(result, "subtype")
  const reason = text(result, "stop_reason")
  const errors = (texts(result, "errors") ?? []).join("; ")
  if (saysUnknown(errors)) {
    return told(new ClaudeError({ kind: "HistoryGone", program, problem: "does not know the conversation any more" }))
  }
  if (subtype === "success" && result["is_error"] !== true) {
    if (reason === "refusal" && !said.spoke()) return rejected(unfinished("refused to answer this"))
    const end = said.end(answer)
    return reason === "max_tokens" && said.spoke() ? [...end, Agent.text(cutByLength)] : end
  }
  const status = number(result, "api_error_status")
  const kind = said.refusal()
  if (subtype === "success" && (status !== undefined || kind !== undefined)) {
    return refused({ program, status, kind, said: answer ?? "it does not say why" })
  }
  if (subtype === "error_max_turns" && said.spoke()) return [...said.end(undefined), Agent.text(cutBySteps)]
  return failed(unfinished(`ended the turn without an answer (${subtype ?? "no reason"}): ${answer ?? errors}`))
}

/** The questions of a turn that nobody has answered yet. */
const questions = (policy: Policy, push: (event: Agent.AgentEvent) => void) => {
  const open = new Set<string>()
  const next = (
    id: string,
    request: Message,
    answer: (response: Message) => void,
    chosen: Array<string | undefined>
  ) => {
    const question = asking(request)[chosen.length]
    if (question === undefined) {
      if (open.delete(id)) answer(decision(request, chosen))
      return
    }
    push({
      _tag: "Permission",
      question: question.question,
      options: question.options,
      respond: (option) =>
        Effect.sync(() => {
          // A decision about what was withdrawn decides nothing.
          if (open.has(id)) next(id, request, answer, [...chosen, option])
        })
    })
  }
  return {
    ask: (request: Message, answer: (response: Message) => void) => {
      if (policy !== "ask") return answer(byPolicy(policy, request))
      const id = text(request, "request_id") ?? ""
      open.add(id)
      next(id, request, answer, [])
    },
    withdrawn: (id: string) => void open.delete(id),
    drop: () => open.clear()
  }
}

/** The messages that a message of the CLI says it has begun with. */
const begun = (message: Message): ReadonlyArray<string> => {
  switch (text(message, "type")) {
    case "command_lifecycle":
      return text(message, "state") === "started" ? [text(message, "command_uuid") ?? ""] : []
    case "user":
      return [text(message, "uuid") ?? ""]
    default:
      return texts(message, "user_message_uuids") ?? []
  }
}

/** Hears what belongs to the turn. */
const listening = (
  options: Options,
  { ours, said }: { readonly ours: Ours; readonly said: Translator },
  on: {
    readonly event: (event: Agent.AgentEvent) => void
    readonly alive: () => void
    readonly result: (result: Message) => void
    /** A result, and there is more to come: what was handed over and is not taken yet. */
    readonly between: (result: Message) => void
  }
): Listener & { readonly drop: () => void } => {
  const { ask, drop, withdrawn } = questions(options.permissions, on.event)
  const onResult = (result: Message) => {
    if (!ours.owns(result)) return on.alive()
    // What was handed over too late to be taken in is what the CLI does next: it is still this turn.
    if (ours.waiting.size === 0 || result["is_error"] === true) return on.result(result)
    for (const event of [...said.end(text(result, "result")), ...usageOf(result, said.model())]) on.event(event)
    on.between(result)
  }
  return {
    drop,
    asked: ask,
    withdrawn,
    message: (message) => {
      const ids = ours.take(begun(message))
      if (ids.length > 0) on.event({ _tag: "Steered", ids })
      if (text(message, "type") === "result") return onResult(message)
      const events = ours.begun() ? said.on(message) : []
      events.forEach(on.event)
      if (events.length === 0) on.alive()
    }
  }
}

/** The next item. When nothing comes behind a result that should, `ask` makes certain that nothing will. */
const following = (
  items: Queue.Queue<Item>,
  between: () => Message | undefined,
  ask: Effect.Effect<boolean>
): Effect.Effect<Item> =>
  Effect.suspend(() => {
    const result = between()
    if (result === undefined) return Queue.take(items)
    return Effect.flatMap(Effect.timeoutOption(Queue.take(items), patience), (item) =>
      Option.isSome(item)
        ? Effect.succeed(item.value)
        : Effect.flatMap(ask, (isCertain) =>
            isCertain ? Effect.succeed<Item>({ result: Exit.succeed(result) }) : following(items, between, ask)
          )
    )
  })

/** Sends the message; its scope is the reader's. */
export const run = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<Running, never, Scope.Scope> {
  const { connection } = options
  const items = yield* Queue.unbounded<Item>()
  const stopped = yield* Deferred.make<void>()
  const said = translator()
  const ours = sent(options.uuid)
  let left = false
  /** The last result, as long as nothing came behind it and something should. */
  let between: Message | undefined
  const offer = (item: Item) => {
    if (left) return
    Queue.offerUnsafe(items, item)
    if (Queue.sizeUnsafe(items) > behind) connection.pause()
  }
  const listener = listening(
    options,
    { ours, said },
    {
      event: (event) => {
        between = undefined
        offer({ event })
      },
      alive: () => {
        between = undefined
        // One is enough for whoever is behind.
        if (Queue.sizeUnsafe(items) === 0) offer({ event: { _tag: "Alive" } })
      },
      between: (result) => {
        between = result
        offer({ event: { _tag: "Alive" } })
      },
      result: (result) => {
        if (left) options.unclaimed.push(...usageOf(result, said.model()))
        connection.listen(undefined)
        offer({ result: Exit.succeed(result) })
        Deferred.doneUnsafe(stopped, Effect.void)
      }
    }
  )
  yield* Effect.addFinalizer(() =>
    Effect.gen(function* () {
      left = true
      listener.drop()
      connection.resume()
      const gone = yield* Deferred.isDone(connection.gone)
      // What was handed over and not taken would be a turn that nobody hears.
      const over = (yield* Deferred.isDone(stopped)) && ours.waiting.size === 0
      if (!gone && !over) yield* interrupt(options, stopped, ours)
      connection.listen(undefined)
      // A process that ended or broke the protocol may have left others behind.
      if (yield* Deferred.isDone(connection.gone)) yield* options.end
    })
  )
  for (const event of options.unclaimed.splice(0)) offer({ event })
  connection.listen(listener)
  yield* Effect.forkScoped(
    Effect.andThen(Effect.exit(Deferred.await(connection.gone)), (exit) => Effect.sync(() => offer({ result: exit })))
  )
  yield* connection.send(userMessage(options.uuid, options.content))

  let last: Array<Agent.AgentEvent> | undefined
  let further: ReadonlyArray<TurnMessage> = []
  /** Messages of which nothing is known, and nothing will be: they are this turn's, which goes on with them. */
  const unknown = (): ReadonlyArray<Agent.AgentEvent> => {
    const messages = [...ours.waiting.values()].flat()
    if (messages.length === 0) return []
    const joined = (ids: ReadonlyArray<string>) => void (further = messages.filter(({ id }) => ids.includes(id)))
    return [{ _tag: "Steered", ids: messages.map(({ id }) => id), joined }]
  }
  const finish = Effect.fnUntraced(function* (exit: Exit.Exit<Message, ClaudeError>) {
    const result = yield* Effect.mapError(exit, told)
    // That of one that was to be followed has been told.
    const usage = result === between ? [] : usageOf(result, said.model())
    const events = conclusion(result, said, connection.program)
    if (!(events instanceof Agent.AgentError)) {
      yield* options.answered
      return { events: [...events, ...usage, ...unknown()], error: undefined }
    }
    return { events: [...said.end(undefined), ...usage], error: events }
  })
  const ask = Effect.gen(function* () {
    // From here on nobody hears what it does with them: they are given back, or go with their process.
    connection.listen(undefined)
    if (Queue.sizeUnsafe(items) > 0) {
      connection.listen(listener)
      return false
    }
    yield* takeBack(options, ours)
    Deferred.doneUnsafe(stopped, Effect.void)
    return true
  })
  const taken = following(items, () => between, ask)
  let failure: Agent.AgentError | undefined
  const next = Effect.fnUntraced(function* () {
    while (last === undefined) {
      const item = yield* taken
      if (Queue.sizeUnsafe(items) < behind / 2) connection.resume()
      if ("event" in item) return item.event
      const { events, error } = yield* finish(item.result)
      last = events
      failure = error
    }
    const event = last.shift()
    // What a failed turn cost is told before it fails.
    if (event === undefined && failure !== undefined) return yield* failure
    return event
  })
  return {
    events: Stream.unfold(undefined, () =>
      Effect.map(next(), (event) => (event === undefined ? undefined : ([event, undefined] as const)))
    ),
    further: () => further,
    steer: (messages, content) =>
      Effect.gen(function* () {
        // Over already: they are the next turn's.
        const isOver = () => left || Deferred.isDoneUnsafe(stopped)
        if (isOver()) return
        const uuid = crypto.randomUUID()
        yield* options.handing(uuid, messages)
        if (isOver()) return
        ours.waiting.set(uuid, messages)
        yield* connection.send(userMessage(uuid, content))
      }).pipe(Effect.catch((error) => Effect.logWarning("Messages could not be handed to the running turn", error)))
  }
})
