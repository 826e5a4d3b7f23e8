/**
 * Plays one plan: the world, the processes of the gateway one after the other, the
 * steps at their times, and at the end a calm in which everything has to come to
 * rest. What comes out is a history, and nothing but the plan decides what is in it.
 */
import * as Channel from "@sluice/runtime/Channel"
import * as Effect from "effect/Effect"
import type { DeliveryClass } from "../../history/Operation.ts"
import { FarSides } from "./far.ts"
import { History } from "./history.ts"
import { Life } from "./Life.ts"
import { People } from "./people.ts"
import type { Act, Plan, Step } from "./plan.ts"
import { Programs } from "./programs.ts"
import { Random } from "./random.ts"
import type { Store } from "./store.ts"
import { postText, splitOf } from "./texts.ts"
import { outside, Time } from "./time.ts"

/** What came of a plan. */
export interface Played {
  readonly history: History
  readonly lives: number
  readonly kills: number
  /** Milliseconds that passed in it. */
  readonly millis: number
  /** Why it has no end of its own: something in it went on for ever. */
  readonly stuck: string | undefined
}

/** Some day in 2026; nothing depends on which. */
const firstDay = 1_780_000_000_000

/** A gateway that nothing disturbs and that ends so often in one history never stays. */
const mostLives = 150

/** After so long without rest people answer what they were not asked; so many questions may be open in a conversation. */
const patience = 3_600_000
const mostQuestions = 4

/** How long the calm lasts at most: longer than any wait or expiry of the gateway's. */
const longestCalm = 3 * 86_400_000

class World {
  readonly plan: Plan
  readonly time = new Time()
  readonly store: Store
  readonly history: History
  readonly random: Random
  readonly acts = new Map<string, Act>()
  readonly far: FarSides
  readonly people: People
  readonly programs: Programs
  readonly wall = { offset: firstDay }
  life: Life | undefined
  lives = 0
  kills = 0
  /** Nothing goes wrong any more. */
  calm = false
  /** The last process has ended. */
  over = false
  #messages = 0
  #decisions = 0
  #posts = 0
  /** The channel that the configuration does not have. */
  #without: DeliveryClass | undefined
  /** Names of messages that are run again. */
  readonly #copies = new Map<string, string>()
  /** What will happen to the next process. */
  readonly #curses: Array<(life: Life) => void> = []

  constructor(plan: Plan, store: Store) {
    this.plan = plan
    this.store = store
    this.history = new History(this.time)
    this.random = new Random(plan.seed ^ 0x5bd1e995)
    const { history, random, time } = this
    const weather = () => (this.calm ? 0 : plan.weather)
    const seen = (channel: string, peer: string, text: string) => this.#seen(channel, peer, text)
    const named = (id: string, conversation: string, text?: string) => this.#named(id, conversation, text)
    this.far = new FarSides({ time, history, random, weather, seen, named })
    this.people = new People({ plan, time, history, random, weather, far: this.far, life: () => this.life })
    this.programs = new Programs({ plan, time, history, acts: this.acts, named })
  }

  /**
   * What the history calls a message of a conversation. One that is run again gets an id of the gateway's own, which it
   * draws; here it has a name, and was accepted when somebody hears of it first.
   */
  #named(id: string, conversation: string, text = ""): string {
    if (!id.startsWith("retry-")) return id
    const name = this.#copies.get(id) ?? `y${this.#copies.size + 1}`
    const act = this.acts.get(/m\d+/.exec(text)?.[0] ?? "")
    if (act !== undefined) this.acts.set(name, act)
    if (this.#copies.has(id)) return name
    this.#copies.set(id, name)
    const talk = this.plan.talks.find(({ channel, peer }) => `${channel}/${peer}` === conversation)
    this.history.tell({
      ...{ op: "send", phase: "ok", by: "the gateway", channel: talk?.channel ?? "", conversation, id: name },
      n: this.#copies.size,
      ...(talk?.loose === true ? { unseen: true } : {})
    })
    return name
  }

  /** A person answers what they are asked; once all is over nobody says anything more. */
  #seen(channel: string, peer: string, text: string): void {
    const number = /\(\/allow (\d+) and your choice\)/.exec(text)?.[1]
    const talk = this.plan.talks.findIndex((one) => one.channel === channel && one.peer === peer)
    if (number === undefined || talk === -1) return
    // By a button, which waits behind nothing; each time that it is seen: two copies are two answers, of which one finds nothing to decide.
    const id = `a${++this.#decisions}`
    this.time.timer(outside, 700, () => {
      if (!this.over) this.people.say(talk, 2, id, `/allow ${number} yes`, true)
    })
  }

  boot(): void {
    const life = new Life(
      {
        plan: this.plan,
        time: this.time,
        store: this.store,
        history: this.history,
        wall: this.wall,
        channels: (of) => this.#channels(of),
        agent: (of) => this.programs.agent(of),
        connected: () => this.people.connected(),
        gone: (of) => this.#gone(of),
        children: (of) => this.programs.children(of)
      },
      ++this.lives
    )
    this.life = life
    for (const curse of this.calm ? [] : this.#curses.splice(0)) curse(life)
    life.start(this.people.waiting)
  }

  #channels(life: Life): { readonly [name: string]: Channel.Channel } {
    const { plan } = this
    return Object.fromEntries(
      [...new Set(plan.talks.map(({ channel }) => channel))].flatMap((channel) => {
        if (channel === this.#without) return []
        return [
          [
            channel,
            Channel.make({
              kind: plan.pollers && channel !== "pull" ? "poller" : "server",
              delivery: this.far.delivery(life, channel),
              receive: (handle) =>
                Effect.suspend(() => {
                  if (life.dead) return Effect.never
                  life.handles.set(channel, handle)
                  this.time.task(life, () => this.people.connected())
                  return Effect.andThen(handle.ready, Effect.never)
                }),
              split: splitOf(plan.short),
              ...(channel === "pull" ? { quiet: 0 } : {})
            })
          ]
        ]
      })
    )
  }

  #gone(life: Life): void {
    this.far.gone(life)
    this.programs.gone(life)
    this.people.gone(life)
    this.life = undefined
    if (this.over) return
    if (this.lives >= mostLives) return this.time.stop(`more than ${mostLives} boots`)
    const down = this.calm ? 5 : (this.plan.down[(life.boot - 1) % this.plan.down.length] ?? 5)
    this.time.timer(outside, down, () => {
      if (this.life === undefined && !this.over) this.boot()
    })
  }

  take(step: Step): void {
    const { life } = this
    switch (step.do) {
      case "say": {
        const id = `m${++this.#messages}`
        this.acts.set(id, step.act)
        return this.people.say(step.talk, step.client, id, `work on ${id}`, false)
      }
      case "command":
        return this.people.say(step.talk, 0, `c${++this.#messages}`, step.text, true)
      case "post": {
        const id = `p${++this.#posts}`
        return this.people.post(step.talk, id, postText(id, step.parts))
      }
      case "crash":
      case "fault":
        if (!step.next) return life === undefined ? undefined : this.#curse(life, step)
        this.#curses.push((next) => this.#curse(next, step))
        return life?.kill("load")
      case "stop":
        return life?.stop(step.reason, step.force)
      case "reload":
        return this.reload(step.without)
      case "fates":
        return this.far.plan(step.channel, step.fates)
      case "jump":
        this.history.tell({ op: "fault", phase: "invoke", by: "clock", what: `the clock jumps by ${step.by} ms` })
        this.wall.offset += step.by
    }
  }

  /** The configuration has all channels from now on, or all but one. */
  reload(without: DeliveryClass | undefined): void {
    this.#without = without
    const { life } = this
    if (without !== undefined) {
      life?.handles.delete(without)
      if (without === "pull") this.people.unread()
    }
    life?.reload(() => this.people.connected())
  }

  /** The configuration is whole again. */
  restore(): void {
    if (this.#without !== undefined) this.reload(undefined)
  }

  /** What will happen to a process. */
  #curse(life: Life, step: Extract<Step, { do: "crash" | "fault" }>): void {
    if (step.do === "fault") {
      this.history.tell({ op: "fault", phase: "invoke", by: "disk", what: step.what })
      return life.fault(step.nth, step.times, { what: step.what, after: step.done })
    }
    if (step.at === "now" && !step.next) return life.kill("load")
    if (step.at !== "statement") return life.dieAtBoundary(step.nth)
    return life.fault(step.nth, 1, { what: "crash", after: step.done })
  }

  /** Whether everything has its end, as far as the outside can tell; the gateway is asked only then. */
  #looksRested(): boolean {
    return (
      this.life?.ready === true &&
      !this.life.stopping &&
      this.people.waiting === 0 &&
      !this.programs.busy &&
      !this.far.busy
    )
  }

  /** Lets time pass until nothing is open, and writes down the gateway's own ledger. */
  settle(): boolean {
    const began = this.time.now
    let asked = began
    for (
      let step = 1000;
      this.time.now - began < longestCalm && this.time.stuck === undefined;
      step = Math.min(step * 1.5, 3_600_000)
    ) {
      this.time.run(this.time.now + step)
      if (this.time.now - asked > patience) {
        this.#answerUnseen()
        asked = this.time.now
      }
      if (!this.#looksRested() || this.#closed() === undefined) continue
      // What is only said and not owed may still be on its way, and a person may answer it.
      const { length } = this.history.operations
      this.time.run(this.time.now + 2000)
      const ledger = this.#looksRested() && this.history.operations.length === length ? this.#closed() : undefined
      if (ledger === undefined) continue
      this.history.tell({ op: "ledger", phase: "ok", by: "the gateway", ledger })
      return true
    }
    return false
  }

  /** A question that got lost waits for a person for ever: after a while they say yes to whatever there may be. */
  #answerUnseen(): void {
    for (const [talk, { loose }] of this.plan.talks.entries()) {
      if (!loose) continue
      for (let n = 1; n <= mostQuestions; n++) {
        this.people.say(talk, 2, `a${++this.#decisions}`, `/allow ${n} yes`, true)
      }
    }
  }

  /** The gateway's own ledger, if it says that nothing is open. */
  #closed(): unknown {
    let ledger: unknown
    this.life?.closed((closed) => (ledger = closed))
    this.time.run(this.time.now)
    return ledger
  }
}

/** Plays a plan over this store, which is emptied before. */
export const play = (plan: Plan, store: Store): Played => {
  store.reset()
  const world = new World(plan, store)
  const { time } = world
  world.boot()
  let at = 0
  for (const step of plan.steps) {
    at += step.after
    time.timer(outside, at, () => world.take(step))
  }
  time.run(at)
  world.calm = true
  world.far.mend()
  world.life?.mend()
  world.restore()
  const end = () => {
    world.life?.stop("stop", false)
    time.run(time.now + 600_000, () => world.life === undefined)
  }
  let rested = world.settle()
  // A command that a full disk refused after it was accepted is run by the next start, as the log says then.
  if (!rested && plan.steps.some((step) => step.do === "fault" && step.what === "full")) {
    end()
    world.boot()
    rested = world.settle()
  }
  world.over = true
  end()
  const phase = rested && world.life === undefined ? "ok" : "fail"
  world.history.tell({ op: "rest", phase, by: "harness" })
  world.life?.kill("the end")
  const kills = world.history.operations.filter(({ op }) => op === "kill").length
  return { history: world.history, lives: world.lives, kills, millis: time.now, stuck: time.stuck }
}
