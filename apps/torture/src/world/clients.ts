/**
 * The people of a world. Over HTTP they insist with the same key until they are told
 * that a message is stored, now and then from two places at once, and pull replies by
 * number, some of them on a WebSocket; on the other channels they write into the far side's feed. Each writes down
 * what it did and was told. They live longer than any one gateway, and ask whoever is
 * at the place where the gateway should be.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { History } from "../history/writer.mjs"
import { classes, type FarChannel } from "./channels.ts"
import type { Far } from "./far.ts"
import { ask, nap, noted, pathOf, type Place, type Reply } from "./place.ts"
import { firstOf, type Habits, isAnswered, lineOf, type Message, type On, person, type State } from "./person.ts"
import { type Random, randomOf } from "./random.ts"
import { socketTalk } from "./socketTalk.ts"
import type { Telegram } from "./telegram.ts"
import { onTelegram } from "./telegramTalk.ts"
import type { Answer, Unanswered } from "./wire.ts"

export { type Behaviours, habits, type Habits, type Kind, kinds } from "./person.ts"

const http: On = { name: "http", class: "pull" }

/** The people at work. */
export interface People {
  /** Completes after so many further acknowledgements. */
  readonly more: (count: number) => Effect.Effect<void>
  /** A guest writes one message, until it is acknowledged; returns its id. */
  readonly say: (conversation: string, behaviour: string) => Effect.Effect<string>
  /** Nobody writes anything new; completes when everything that was begun is acknowledged. */
  readonly finish: Effect.Effect<void>
  readonly sent: () => number
  readonly acknowledged: () => number
  /** Acknowledged messages that no reply has named yet. */
  readonly unanswered: () => ReadonlyArray<string>
  /** Readers that have not yet got every reply up to a conversation's last number. */
  readonly behind: Effect.Effect<ReadonlyArray<string>>
}

interface Receipt {
  readonly seq: number
  readonly duplicate: boolean
}

/**
 * Answers that are about the message. Any other one is no answer: the port of a gateway that died may be that of
 * another world's by now, which knows nobody here. A gateway that does not let its own people in never comes to rest.
 */
const ofTheMessage: ReadonlySet<number> = new Set([400, 409, 413])

/** One try, over whatever the conversation has. */
const tell = ({ place, talks }: State, { conversation, id, text }: Message): Effect.Effect<Answer, Unanswered> =>
  talks.get(conversation)?.tell(id, text) ?? ask(place, pathOf(conversation, "messages"), { body: { text }, key: id })

/** Sends with one key until there is a clear answer. */
const insist = Effect.fnUntraced(function* (
  state: State,
  message: Message,
  line: ReturnType<typeof lineOf>
): Effect.fn.Return<Receipt | undefined> {
  for (;;) {
    const told = yield* Effect.result(tell(state, message))
    if (told._tag === "Success") {
      const { body, status } = told.success
      if (status === 202 || status === 200) return { seq: Number(body["seq"]), duplicate: body["duplicate"] === true }
      if (ofTheMessage.has(status)) {
        // A refusal for good of a message that nothing is wrong with: the checker will not find its end.
        line.fail(`${status} ${JSON.stringify(body)}`)
        return undefined
      }
    } else if (told.failure.reached) line.info(told.failure.code)
    yield* nap
  }
})

const overHttp = (state: State, conversation: string, random: Random) =>
  person(
    state,
    conversation,
    random,
    Effect.fnUntraced(function* (n, id, said) {
      const restless = state.habits.restless.includes(conversation)
      const text = restless && n > 1 && random() < 0.1 ? "/stop" : said
      const message = { conversation, id, n, text, command: text.startsWith("/"), unseen: restless }
      const line = lineOf(state, http, message)
      line.invoke()
      const twins = random() < 0.05 ? [1, 2] : [1]
      const told = yield* Effect.forEach(twins, () => insist(state, message, line), { concurrency: 2 })
      // Two tries in flight are one message: both say the same number, and each is written down.
      for (const one of told) if (one !== undefined) line.ok(one)
    }),
    firstOf(state.habits, conversation)
  )

const overFeed = (state: State, channel: FarChannel, peer: string, random: Random) =>
  person(
    state,
    `${channel}-${peer}`,
    random,
    Effect.fnUntraced(function* (n, id, text) {
      const command = text.startsWith("/")
      const on = { name: channel, class: classes[channel] }
      const line = lineOf(state, on, { conversation: peer, id, n, text, command, unseen: false })
      line.invoke()
      yield* state.far.write(channel, peer, id, text)
      line.ok()
    }),
    firstOf(state.habits, `${channel}-${peer}`)
  )

/** Somebody got a reply: writes it down, and where to go on. */
const got = ({ cursors, history, pulled }: State, conversation: string, reply: Reply): void => {
  // Which of the messages it answers: the agent's own words where there are any, else the wire's.
  for (const id of noted(history, conversation, reply)) pulled.add(id)
  cursors.set(conversation, reply.number)
}

/** Shown on a socket, from the own cursor on. */
const onSocket = (state: State, conversation: string) =>
  Effect.map(
    socketTalk(state.place, conversation, {
      after: () => state.cursors.get(conversation) ?? 0,
      reply: (reply) => got(state, conversation, reply)
    }),
    (talk) => void state.talks.set(conversation, talk)
  )

/** Pulls from its own cursor on, whoever answers. */
const reader = Effect.fnUntraced(function* (state: State, conversation: string) {
  const { cursors, place } = state
  for (;;) {
    const after = cursors.get(conversation) ?? 0
    const answer = yield* ask(place, pathOf(conversation, `replies?after=${after}&wait=5s&limit=1000`)).pipe(
      Effect.orElseSucceed(() => undefined)
    )
    if (answer?.status !== 200) {
      yield* nap
      continue
    }
    for (const reply of (answer.body["replies"] ?? []) as ReadonlyArray<Reply>) got(state, conversation, reply)
  }
})

const behind = (state: State) =>
  Effect.filter([...state.habits.http, ...state.habits.guests], (conversation) =>
    Effect.map(
      ask(state.place, pathOf(conversation, `replies?after=${state.cursors.get(conversation) ?? 0}&limit=1`)),
      ({ body, status }) => status !== 200 || ((body["replies"] ?? []) as ReadonlyArray<unknown>).length > 0
    ).pipe(Effect.orElseSucceed(() => true))
  )

/** A guest writes, by somebody's order. */
const saying = (state: State) => {
  const numbers = new Map<string, number>()
  const say = Effect.fnUntraced(function* (conversation: string, words: (id: string) => string) {
    const n = (numbers.get(conversation) ?? 0) + 1
    numbers.set(conversation, n)
    const id = `${conversation}.${n}`
    const text = words(id)
    const message = { conversation, id, n, text, command: text.startsWith("/"), unseen: false }
    const line = lineOf(state, http, message)
    line.invoke()
    const told = yield* insist(state, message, line)
    if (told !== undefined) line.ok(told)
    return id
  })
  return Effect.fnUntraced(function* (conversation: string, behaviour: string) {
    if (!numbers.has(conversation)) {
      for (const first of firstOf(state.habits, conversation)) yield* say(conversation, () => first)
    }
    return yield* say(conversation, (id) => `#${id} ${behaviour}`)
  })
}

/** Completes after so many further acknowledgements. */
const more = (state: State, count: number) =>
  Effect.callback<void>((resume) => {
    const goal = state.acknowledged.size + count
    const wake = () => {
      if (state.acknowledged.size < goal) return
      state.waiting.delete(wake)
      resume(Effect.void)
    }
    state.waiting.add(wake)
    wake()
    return Effect.sync(() => void state.waiting.delete(wake))
  })

/** Everybody begins; they go with the scope. */
export const gather = Effect.fnUntraced(function* (
  place: Place,
  history: History,
  far: Far,
  seed: number,
  habits: Habits,
  telegram?: Telegram
): Effect.fn.Return<People, never, Scope.Scope> {
  const state: State = {
    place,
    history,
    far,
    telegram,
    habits,
    over: false,
    sent: 0,
    acknowledged: new Map(),
    pulled: new Set(),
    cursors: new Map(),
    waiting: new Set(),
    talks: new Map()
  }
  let one = seed
  const random = () => randomOf(++one * 7919)
  const channels: ReadonlyArray<FarChannel> = ["keyed", "edit", "resend", "hold"]
  const lives = [
    ...habits.http.map((name) => overHttp(state, name, random())),
    ...channels.flatMap((channel) => habits.peers.map((peer) => overFeed(state, channel, peer, random()))),
    ...(telegram === undefined
      ? []
      : yield* Effect.forEach(habits.telegram, (name) => onTelegram(state, telegram, name, random())))
  ]
  for (const name of habits.http.filter((name) => habits.sockets.includes(name))) yield* onSocket(state, name)
  const pulling = [...habits.http, ...habits.guests].filter((name) => !state.talks.has(name))
  const writers = yield* Effect.forEach(lives, (life) => Effect.forkScoped(life))
  for (const name of pulling) yield* Effect.forkScoped(reader(state, name))
  const done = yield* Deferred.make<void>()
  yield* Effect.forkScoped(
    Effect.andThen(Effect.forEach(writers, Fiber.await, { discard: true }), Deferred.succeed(done, undefined))
  )
  return {
    more: (count) => more(state, count),
    say: saying(state),
    finish: Effect.andThen(
      Effect.sync(() => {
        state.over = true
      }),
      Deferred.await(done)
    ),
    sent: () => state.sent,
    acknowledged: () => state.acknowledged.size,
    unanswered: () => [...state.acknowledged.keys()].filter((id) => !isAnswered(state, id)),
    behind: behind(state)
  }
})
