/**
 * One turn: the prompt, what the agent says of it as events, and letting go. The
 * prompt runs beside the events and outlives their reader: who stops reading
 * cancels it by the protocol and waits, within a bound, for the agent to say that
 * it has stopped, because only then the next turn may begin. An agent that does
 * not say so is ended, and so is one that says nothing of what it was handed: else
 * it could take that into another turn.
 */
import type { ContentBlock, PromptResponse, RequestPermissionResponse } from "@agentclientprotocol/sdk/unstable"
import * as Agent from "@sluice/runtime/Agent"
import type { TurnMessage } from "@sluice/runtime/Message"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Connection, Listener } from "./connection.ts"
import { failed, rejected } from "../failure.ts"
import { type Handed, handing, type Word } from "./handing.ts"
import { AcpError } from "./failure.ts"
import { type Asked, byPolicy, cancelled, type Policy, selected, wordsOf } from "./permission.ts"
import type { Conversation } from "./session.ts"
import { modelOf, translator, usageOf } from "./updates.ts"

/** How many events may wait for a reader before reading from the agent pauses. */
const behind = 512

/**
 * How long an agent that has ended the turn may take to say by itself whether it took what it was handed, in milliseconds.
 * Nothing follows from that time but that its process is ended.
 */
const patience = 10_000

/** What a turn needs. */
export interface Options {
  readonly connection: Connection
  readonly conversation: Conversation
  readonly permissions: Policy
  /** How long the agent has to stop when it is told to. */
  readonly cancelWithin: Duration.Input
  /** Ends the agent's process, with the ladder. */
  readonly end: Effect.Effect<void>
  /** Where the prompt lives: it must outlive the reader. */
  readonly scope: Scope.Scope
}

/** A turn that runs. */
export interface Running {
  readonly events: Stream.Stream<Agent.AgentEvent, Agent.AgentError>
  /** Hands messages to the turn; `ask` is how the agent is asked to take them. */
  readonly steer: (messages: ReadonlyArray<TurnMessage>, ask: Effect.Effect<Word, AcpError>) => Effect.Effect<void>
  /**
   * What the turn has still to go on with, once its events are over: its agent ended without a word about these, they are
   * the turn's, and it can't take them any more.
   */
  readonly further: () => ReadonlyArray<TurnMessage>
}

type Ended = Exit.Exit<PromptResponse, AcpError>
type Item = { readonly event: Agent.AgentEvent } | { readonly ended: Ended }

/** What stands at the end of an answer that a limit of the agent's cut. */
const limits: Readonly<Record<string, string>> = {
  max_tokens: "\n[The answer ends here: it reached the limit on its length.]",
  max_turn_requests: "\n[I stopped here: I reached the limit on steps for one request.]"
}

/** What a response says of the turn: its last events, or why there is no answer. */
const conclusion = (
  response: PromptResponse,
  spoke: boolean,
  program: string
): ReadonlyArray<Agent.AgentEvent> | Agent.AgentError => {
  const unfinished = (problem: string) => new AcpError({ kind: "Unfinished", program, problem })
  const stopReason: unknown = (response as Partial<PromptResponse> | null)?.stopReason
  switch (stopReason) {
    case "end_turn":
      return []
    case "refusal":
      return spoke ? [] : rejected(unfinished("refused to answer this"))
    case "cancelled":
      return failed(unfinished("said that the turn was cancelled, and nobody had cancelled it"))
    case "max_tokens":
    case "max_turn_requests":
      return spoke ? [Agent.text(limits[stopReason] ?? "")] : failed(unfinished(`reached a limit: ${stopReason}`))
    default:
      return failed(unfinished(`ended the turn for a reason that is not known: ${JSON.stringify(stopReason)}`))
  }
}

/** The questions of a turn that nobody has answered yet. */
const questions = (policy: Policy, push: (event: Agent.AgentEvent) => void) => {
  const open = new Set<(response: RequestPermissionResponse) => void>()
  return {
    ask: (asked: Asked): Promise<RequestPermissionResponse> => {
      if (policy !== "ask") return Promise.resolve(byPolicy(policy, asked))
      const words = wordsOf(asked.options)
      return new Promise((resolve) => {
        const answer = (response: RequestPermissionResponse) => {
          if (open.delete(answer)) resolve(response)
        }
        open.add(answer)
        push({
          _tag: "Permission",
          question: asked.question,
          options: [...words.keys()],
          respond: (option) =>
            Effect.sync(() => {
              const id = option === undefined ? undefined : words.get(option)
              answer(id === undefined ? cancelled : selected(id))
            })
        })
      })
    },
    drop: () => {
      for (const answer of open) answer(cancelled)
    }
  }
}

/** How long it may take to let go, in milliseconds. Of a stop's last moments the ladder needs the better part. */
const patienceOf = ({ cancelWithin }: Options): Effect.Effect<number> =>
  Effect.map(Effect.flatten(Agent.StopBudget), (left) => Math.min(Duration.toMillis(cancelWithin), left * 0.4))

/** Tells the agent to stop and waits until it says that it has; ends it when it doesn't in time. */
const cancel = Effect.fnUntraced(function* (options: Options, prompt: Deferred.Deferred<Ended>) {
  const { connection, conversation } = options
  const tell = connection.notify("session/cancel", { sessionId: conversation.id })
  const stopped = (wait: number) => Effect.map(Effect.timeoutOption(Deferred.await(prompt), wait), Option.isSome)
  yield* tell
  const wait = yield* patienceOf(options)
  if (yield* stopped(wait / 4)) return
  // Agents start on what they are sent without waiting: a cancellation can overtake its prompt, and be lost on it.
  yield* tell
  if (yield* stopped((wait * 3) / 4)) return
  yield* Effect.logWarning(
    `agent "${connection.program}" did not stop within ${Math.round(wait)} ms of being told to, it is ended`
  )
  yield* options.end
})

/** Waits for the agent's word on what it was handed; a process that says nothing is ended, because it may still take it. */
const letGoOf = Effect.fnUntraced(function* ({ connection, end }: Options, handed: Handed, wait: number) {
  if (handed.isClear() || (yield* Deferred.isDone(connection.gone))) return
  yield* Effect.timeoutOption(handed.answered, wait)
  if (handed.isClear()) return
  yield* Effect.logWarning(
    `agent "${connection.program}" did not say whether it took what was written during its turn, it is ended`
  )
  yield* end
})

/** The last events of a turn that has ended, or why it has no answer. */
const finish = Effect.fnUntraced(function* (
  ended: Ended,
  { connection, conversation }: Options,
  translate: ReturnType<typeof translator>
) {
  if (Exit.isFailure(ended)) {
    const error = Cause.findErrorOption(ended.cause)
    return yield* failed(Option.isSome(error) ? error.value : Cause.squash(ended.cause))
  }
  const usage = usageOf(ended.value)
  const told = conclusion(ended.value, translate.spoke(), connection.program)
  if (told instanceof Agent.AgentError) return yield* told
  yield* conversation.answered
  return [
    ...translate.end(),
    ...told,
    ...(usage === undefined ? [] : [{ _tag: "Usage", usage, ...modelOf(connection.facts) } as const])
  ]
})

/** Sends the prompt, in the process's scope: it must outlive the reader to be cancelled in order. */
const send = (
  blocks: ReadonlyArray<ContentBlock>,
  { connection, conversation, scope }: Options,
  ended: (exit: Ended) => void
) =>
  connection.request<PromptResponse>("session/prompt", { sessionId: conversation.id, prompt: blocks }).pipe(
    Effect.onExit((exit) => Effect.sync(() => ended(exit))),
    Effect.exit,
    Effect.forkIn(scope, { startImmediately: true })
  )

const ignoring: Listener = { update: () => {}, alive: () => {}, permission: () => Promise.resolve(cancelled) }

/** Starts the turn. Its scope is the reader's. */
export const run = Effect.fnUntraced(function* (
  blocks: ReadonlyArray<ContentBlock>,
  options: Options
): Effect.fn.Return<Running, never, Scope.Scope> {
  const { connection } = options
  const items = yield* Queue.unbounded<Item>()
  const prompt = yield* Deferred.make<Ended>()
  const translate = translator(connection.facts)
  const push = (event: Agent.AgentEvent) => {
    Queue.offerUnsafe(items, { event })
    if (Queue.sizeUnsafe(items) > behind) connection.pause()
  }
  const { ask, drop } = questions(options.permissions, push)
  const handed = handing(push, options.scope)
  // From here on updates are this turn's, so nothing may come between this and the prompt.
  connection.listen({
    update: (update) => translate.on(update).forEach(push),
    alive: () => {
      // One is enough for whoever is behind.
      if (Queue.sizeUnsafe(items) === 0) push({ _tag: "Alive" })
    },
    permission: ask
  })
  yield* send(blocks, options, (exit) => {
    Deferred.doneUnsafe(prompt, Effect.succeed(exit))
    Queue.offerUnsafe(items, { ended: exit })
  })
  yield* Effect.addFinalizer(() =>
    Effect.gen(function* () {
      // What is still said of this turn is nobody's; what is still asked has no answer.
      connection.listen(ignoring)
      connection.resume()
      drop()
      handed.close()
      if (!(yield* Deferred.isDone(prompt))) yield* cancel(options, prompt)
      yield* letGoOf(options, handed, yield* patienceOf(options))
      connection.listen(undefined)
      // A process that ended or broke the protocol may have left others behind.
      if (yield* Deferred.isDone(connection.gone)) yield* options.end
    })
  )

  let last: Array<Agent.AgentEvent> | undefined
  let further: ReadonlyArray<TurnMessage> = []
  /** It has said of everything whether it took it, or can't take it any more. */
  let isCertain = false
  const next = Effect.fnUntraced(function* () {
    while (last === undefined) {
      const item = yield* Queue.take(items)
      if (Queue.sizeUnsafe(items) < behind / 2) connection.resume()
      if ("event" in item) return item.event
      if (Exit.isSuccess(item.ended) && !handed.isClear() && !isCertain) {
        yield* letGoOf(options, handed, patience)
        isCertain = true
        // What it said meanwhile comes first.
        Queue.offerUnsafe(items, item)
        continue
      }
      handed.close()
      last = yield* finish(item.ended, options, translate)
      const left = handed.unanswered()
      if (left.length === 0) continue
      const joined = (ids: ReadonlyArray<string>) => void (further = left.filter(({ id }) => ids.includes(id)))
      last.push({ _tag: "Steered", ids: left.map(({ id }) => id), joined })
    }
    return last.shift()
  })
  return {
    steer: handed.hand,
    further: () => further,
    events: Stream.unfold(undefined, () =>
      Effect.map(next(), (event) => (event === undefined ? undefined : ([event, undefined] as const)))
    )
  }
})
