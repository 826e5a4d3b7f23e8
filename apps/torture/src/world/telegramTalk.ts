/**
 * People on Telegram. They write in chats of their own and in topics of groups, edit
 * what they have just written, press the button that stops what runs, and those who
 * are asked press an answer, each time that they are asked. A message that is edited
 * may end unseen, because its edit may take its place.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { firstOf, isAnswered, lineOf, type Message, person, type State } from "./person.ts"
import { nap } from "./place.ts"
import { oneOf, type Random } from "./random.ts"
import { peerOf, type Talk, talkOf, type Telegram } from "./telegram.ts"

/** How often a message is edited, and how often somebody restless stops what runs. */
const odds = { edit: 0.12, stop: 0.15, long: 0.06 }

/** Where doubts are held a question may never be seen: looks until it is answered in words, and how often it is. */
const patience = { looks: 200, times: 3 }

/** The name under which somebody's messages go. */
const nameOf = (talk: Talk): string => `telegram-${talk.name}`

const lines = (state: State, telegram: Telegram, talk: Talk) => (message: Omit<Message, "conversation">) =>
  lineOf(state, { name: "telegram", class: telegram.class }, { ...message, conversation: peerOf(talk) })

/** Somebody who is answered by an agent of the harness. */
const writer = (state: State, telegram: Telegram, talk: Talk, random: Random): Effect.Effect<void> => {
  const name = nameOf(talk)
  const restless = state.habits.restless.includes(name)
  const line = lines(state, telegram, talk)
  let edited: string | undefined
  const say = Effect.fnUntraced(function* (n: number, id: string, said: string) {
    const plain = !said.startsWith("/")
    const stops = restless && plain && random() < odds.stop
    const edits = edited
    edited = !restless && plain && edits === undefined && random() < odds.edit ? id : undefined
    const text = stops ? "/stop" : plain && random() < odds.long ? `#${id} long` : said
    const told = line({ id, n, text, command: text.startsWith("/"), unseen: restless || edited !== undefined })
    const button = stops ? telegram.buttons(talk, /^\/stop$/).at(-1) : undefined
    told.invoke()
    if (button !== undefined) yield* telegram.press(talk, id, button.message, button.data)
    else yield* telegram.write(talk, id, text, edits)
    told.ok()
  })
  return person(state, name, random, say, firstOf(state.habits, name))
}

/**
 * Somebody whom the demo agent asks. They press an answer whenever they are asked, also when they have nothing more to
 * say: a crash asks again, under a message of its own, and a question that nobody answers would be open for ever.
 */
const asked = (state: State, telegram: Telegram, talk: Talk, random: Random) => {
  const line = lines(state, telegram, talk)
  const pressed = new Set<number>()
  let n = 0
  const tell = Effect.fnUntraced(function* (text: string, how: (id: string) => Effect.Effect<void>) {
    const id = `${nameOf(talk)}.${++n}`
    const told = line({ id, n, text, command: true, unseen: false })
    told.invoke()
    yield* how(id)
    told.ok()
    return id
  })
  const say = (text: string) => tell(text, (id) => telegram.write(talk, id, text))
  const talks = Effect.gen(function* () {
    yield* say("/new asked asker")
    do {
      const id = yield* say(`ask go on after ${n}`)
      for (let looks = 1; !isAnswered(state, id) && looks <= patience.looks * patience.times; looks++) {
        if (looks % patience.looks === 0) yield* say("yes")
        yield* nap
      }
      yield* Effect.sleep(`${Math.ceil(random() * state.habits.pause)} millis`)
    } while (!state.over)
  })
  const presses = Effect.gen(function* () {
    for (;;) {
      const says = oneOf(random, [/^\/allow \d+ 1$/, /^\/allow \d+ 2$/])
      const button = telegram.buttons(talk, says).find(({ message }) => !pressed.has(message))
      if (button !== undefined) {
        pressed.add(button.message)
        yield* tell(button.data, (id) => telegram.press(talk, id, button.message, button.data))
      } else yield* nap
    }
  })
  return { talks, presses }
}

/** Somebody at work in a talk, until there is nothing more to be said; what they do besides goes with the world. */
export const onTelegram = Effect.fnUntraced(function* (
  state: State,
  telegram: Telegram,
  name: string,
  random: Random
): Effect.fn.Return<Effect.Effect<void>, never, Scope.Scope> {
  const talk = talkOf(name)
  if (!state.habits.asked.includes(name)) return writer(state, telegram, talk, random)
  const { presses, talks } = asked(state, telegram, talk, random)
  yield* Effect.forkScoped(presses)
  return talks
})
