/**
 * One person of a world, whatever they write on: what they say first, in which bursts
 * they go on, when they have too many open questions to say more, and the lines of the
 * history that tell of each message.
 */
import * as Effect from "effect/Effect"
import type { DeliveryClass } from "../history/Operation.ts"
import type { History } from "../history/writer.mjs"
import type { Far } from "./far.ts"
import { nap, type Place } from "./place.ts"
import { oneOf, type Random } from "./random.ts"
import type { SocketTalk } from "./socketTalk.ts"
import type { Telegram } from "./telegram.ts"

/** What the people write, beside `#<id>`: one of these, picked at random. */
export type Behaviours = readonly [string, ...ReadonlyArray<string>]

/** Which kind of agent somebody speaks with. */
export type Kind = "command" | "acp" | "claude-code"

export const kinds = ["command", "acp", "claude-code"] as const

/** How the people of a world behave. */
export interface Habits {
  /** Names of the conversations over HTTP. */
  readonly http: ReadonlyArray<string>
  /** Those of them that write and read on a WebSocket. */
  readonly sockets: ReadonlyArray<string>
  /** Further ones, that somebody reads and in which only `say` writes. */
  readonly guests: ReadonlyArray<string>
  /** Those of them that want a turn for each burst. */
  readonly followup: ReadonlyArray<string>
  /** Those that cut off what runs with every burst, and say /stop now and then: their messages may end unseen. */
  readonly restless: ReadonlyArray<string>
  /** Peers on each of the other channels. */
  readonly peers: ReadonlyArray<string>
  /** Talks on Telegram, where the world has a bot: a chat, or a chat and a topic of it. */
  readonly telegram: ReadonlyArray<string>
  /** Those of them that are asked questions, and press buttons. */
  readonly asked: ReadonlyArray<string>
  /** Whom they speak with, by conversation (`ann`, `keyed-eve`): an agent of kind `command` unless it says another. */
  readonly agents: Readonly<Record<string, Kind>>
  readonly behaviours: Behaviours
  /** So many of one's last twelve messages without an answer make a person wait before writing more. */
  readonly ahead: number
  /** The longest pause between two bursts of one person, in milliseconds. */
  readonly pause: number
  /** How many messages are a burst. */
  readonly burst: number
}

/** Four over HTTP, one of them on a WebSocket, one on each other channel, all well behaved. */
export const habits: Habits = {
  http: ["ann", "bob", "cem", "dan"],
  sockets: ["dan"],
  guests: ["sam"],
  followup: ["bob", "dan"],
  restless: [],
  peers: ["eve"],
  telegram: [],
  asked: [],
  agents: {},
  behaviours: ["hello"],
  ahead: 6,
  pause: 120,
  burst: 3
}

/** What the people of a world have in common. */
export interface State {
  readonly place: Place
  readonly history: History
  readonly far: Far
  readonly telegram: Telegram | undefined
  readonly habits: Habits
  over: boolean
  sent: number
  readonly acknowledged: Map<string, string>
  readonly pulled: Set<string>
  readonly cursors: Map<string, number>
  readonly waiting: Set<() => void>
  /** The sockets of those who have one. */
  readonly talks: Map<string, SocketTalk>
}

/** Something that somebody says. */
export interface Message {
  readonly conversation: string
  readonly id: string
  readonly n: number
  readonly text: string
  readonly command: boolean
  /** It may end with nothing shown for it. */
  readonly unseen: boolean
}

/** The channel that something is said on, and what it promises. */
export interface On {
  readonly name: string
  readonly class: DeliveryClass
}

/** The lines of the history that tell of a message. */
export const lineOf = (state: State, on: On, { command, conversation, id, n, unseen }: Message) => {
  const line = {
    op: "send",
    by: `client ${conversation}`,
    channel: on.name,
    class: on.class,
    conversation: `${on.name}/${conversation}`,
    id,
    n,
    ...(command ? { command } : {}),
    ...(unseen ? { unseen } : {})
  } as const
  return {
    invoke: () => {
      state.sent++
      state.history.append({ ...line, phase: "invoke" })
    },
    ok: (told: { readonly seq?: number; readonly duplicate?: boolean } = {}) => {
      state.history.append({ ...line, phase: "ok", ...told })
      state.acknowledged.set(id, line.conversation)
      for (const wake of state.waiting) wake()
    },
    fail: (why: string) => void state.history.append({ ...line, phase: "fail", why }),
    info: (why: string) => void state.history.append({ ...line, phase: "info", why })
  }
}

/** Whether somebody has seen an end of the message. */
export const isAnswered = ({ far, pulled, telegram }: State, id: string): boolean =>
  pulled.has(id) || far.answered.has(id) || telegram?.answered.has(id) === true

/** How often somebody with open questions looks again before going on anyway: some are never answered, and rightly so. */
const patience = 200

/** Somebody with too many open questions waits. */
const composure = Effect.fnUntraced(function* (state: State, name: string, n: number) {
  for (let looks = 0; looks < patience; looks++) {
    let open = 0
    for (let last = Math.max(1, n - 11); last <= n; last++) if (!isAnswered(state, `${name}.${last}`)) open++
    if (open < state.habits.ahead || state.over) return
    yield* nap
  }
})

/** One person: bursts, a pause, bursts, until there is nothing more to be said. */
export const person = Effect.fnUntraced(function* (
  state: State,
  name: string,
  random: Random,
  say: (n: number, id: string, text: string) => Effect.Effect<void>,
  first: ReadonlyArray<string>
) {
  for (let n = 1; !state.over || n === 1; n++) {
    const id = `${name}.${n}`
    yield* say(n, id, first[n - 1] ?? `#${id} ${oneOf(random, state.habits.behaviours)}`)
    if (n % state.habits.burst === 0) {
      yield* Effect.sleep(`${Math.ceil(random() * state.habits.pause)} millis`)
      if (!state.habits.restless.includes(name)) yield* composure(state, name, n)
    }
  }
})

/** What somebody says first: with whom to speak, and to be answered in another way than all at once. */
export const firstOf = ({ agents, followup, restless }: Habits, name: string): ReadonlyArray<string> => {
  const kind = agents[name] ?? "command"
  const chosen = kind === "command" ? [] : [`/new own ${kind}`]
  if (followup.includes(name)) return [...chosen, "/queue followup"]
  return restless.includes(name) ? [...chosen, "/queue interrupt"] : chosen
}
