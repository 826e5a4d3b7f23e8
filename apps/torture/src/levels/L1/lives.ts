/**
 * A world through its lives: in the first one a gateway is killed while turns run, in
 * the next ones it dies at its graves, one each, in the last one everything comes to
 * its end. What a gateway did before it died at a boundary, or that it never came
 * there, is known from the labels that it wrote down itself.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import type { Bundle } from "../../world/bundle.ts"
import type { People } from "../../world/clients.ts"
import type * as Gateway from "../../world/Gateway.ts"
import { asideOf } from "../../world/sayings.ts"
import * as World from "../../world/World.ts"
import { configuration, type Deeds, deeds, fates } from "./deeds.ts"
import type { Point } from "./points.ts"

/** Where a gateway dies. */
export interface Grave {
  readonly label: string
  /** How often it has come there then. */
  readonly nth: number
  /** How many milliseconds it stands there before, while everybody else goes on; 0 = dies at once. */
  readonly linger: number
}

/** What a world was. */
export interface Lived {
  readonly file: string
  /** How often each label was crossed in the lives that had graves, or in the one that had none. */
  readonly crossed: ReadonlyMap<string, number>
  /** Kills by signal, the first one included. */
  readonly kills: number
  /** Graves that the gateway never came to. */
  readonly missed: ReadonlyArray<Grave>
  /** What the people themselves found wrong. */
  readonly broken: ReadonlyArray<string>
}

const crossingsIn = (file: string): ReadonlyMap<string, number> => {
  const counts = new Map<string, number>()
  for (const label of existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(0, -1) : []) {
    counts.set(label, (counts.get(label) ?? 0) + 1)
  }
  return counts
}

/** The people of this level as a world's rest asks for them. */
const asPeople = (world: World.World, { people }: Deeds, done: Effect.Effect<void>): People => ({
  more: () => Effect.void,
  say: () => Effect.succeed(""),
  finish: done,
  sent: () => people.reduce((sum, { told }) => sum + told.size, 0),
  acknowledged: () => people.reduce((sum, { told }) => sum + told.size, 0),
  unanswered: () => people.flatMap(({ told }) => [...told.keys()]).filter((id) => !world.far.answered.has(id)),
  behind: Effect.as(
    Effect.forEach(people, ({ pull }) => pull),
    []
  )
})

/** Ends that a message may have whose reply nobody waits for. */
const ends: ReadonlySet<string> = new Set([
  "replied",
  "no-reply",
  "command",
  "cancelled",
  "superseded",
  "dropped",
  "suspended"
])

/**
 * Messages that no reply names. Each must have an end all the same, and whoever sent it is told which when they ask
 * once more: that answer is what they see of it.
 */
const endless = Effect.fnUntraced(function* ({ history }: World.World, { people }: Deeds) {
  const broken: Array<string> = []
  for (const { conversation, ended, pull, told } of people) {
    const named = new Set((yield* pull).flatMap(({ inReplyTo }) => inReplyTo))
    for (const id of told.keys()) {
      if (named.has(id)) continue
      const end = yield* ended(id)
      if (end === undefined || !ends.has(end)) {
        broken.push(`I1 ${conversation}/${id} has no end: ${end}`)
        continue
      }
      history.append({
        op: "deliver",
        phase: "ok",
        by: `client ${conversation}`,
        channel: "http",
        class: "pull",
        conversation: `http/${conversation}`,
        kind: "pull",
        remoteId: `end of ${id}`,
        what: "notice",
        ids: [id]
      })
    }
  }
  return broken
})

/** How long a life may take that dies at its grave or brings everything to its end, in milliseconds. */
const longest = 60_000

/** What was written meanwhile comes in before anything is resumed, and takes a cut-off turn along. */
const beforeResume = "boot:resume=250"

/** What the gateway of a life does: where it dies, and whether it is asked to stop before everything is done. */
interface Fate {
  readonly crossed: string
  readonly grave: Grave | undefined
  /** The conversation whose turn must run when it is asked to stop. */
  readonly stops: string | undefined
  readonly stand: string
}

/** A life that ends at a grave, or by a stop when everything is done before. Whether it died, and what is wrong. */
const mortal = Effect.fnUntraced(function* (
  world: World.World,
  todo: Deeds,
  done: Effect.Effect<void>,
  { crossed, grave, stand, stops }: Fate
) {
  const environment = {
    TORTURE_CROSSED: crossed,
    TORTURE_STAND: stand,
    ...(grave === undefined
      ? {}
      : { TORTURE_LABEL: grave.label, TORTURE_NTH: String(grave.nth), TORTURE_LINGER: String(grave.linger) })
  }
  const gateway = yield* world.boot({ environment, patience: 2 * longest })
  const through = yield* Effect.forkScoped(
    Effect.gen(function* () {
      const { token, wire } = yield* world.arrive(gateway)
      // A chain of crashes pauses what was open; this is about what happens without the pause.
      yield* wire.ask("/v1/admin/resume", { method: "POST", token })
      // Its turn may be over already, where stops are quick and this machine is slow.
      yield* stops === undefined ? done : Effect.raceFirst(todo.runs(stops), done)
      yield* gateway.beginStop()
    }).pipe(Effect.exit)
  )
  const ended = yield* Effect.timeoutOption(gateway.exited, longest)
  yield* Fiber.interrupt(through)
  if (Option.isNone(ended)) yield* gateway.kill("waiting")
  const { signal } = yield* gateway.exited
  leave(world)
  // Its end by a signal is in the history; that it gave it to itself is nothing that a checker needs.
  const died = signal === "SIGKILL"
  if (Option.isNone(ended)) {
    return { died, broken: [`I1 in ${longest / 1000} s not everything came to its end: ${[...todo.open].join(", ")}`] }
  }
  // Nobody has killed it: its own watchdog has, because the stop did not come to its end.
  return { died, broken: died && grave === undefined ? ["I8 the watchdog had to end the stop"] : [] }
}, Effect.scoped)

/** Nobody is there any more. */
export const leave = ({ place }: World.World): void => {
  place.wire?.close()
  place.wire = undefined
}

/** The gateway that is killed while turns run. */
export const prepared = Effect.fnUntraced(function* (world: World.World, todo: Deeds) {
  const gateway = yield* world.boot()
  yield* arrived(world, gateway)
  yield* todo.before
  yield* gateway.kill("load")
  leave(world)
}, Effect.scoped)

/** The gateway that nothing is wrong with is there: anything else is a broken harness. */
export const arrived = (world: World.World, gateway: Gateway.Gateway) =>
  Effect.catch(world.arrive(gateway), (ended) =>
    Effect.die(
      new Error(`a boot without a fault ended: ${JSON.stringify(ended)}\n${gateway.printed().slice(-20).join("\n")}`)
    )
  )

/** Brings everything to its end; says what is wrong with that. */
export const finished = Effect.fnUntraced(function* (
  world: World.World,
  todo: Deeds,
  doing: Fiber.Fiber<void>,
  bound: number
) {
  const done = Fiber.join(doing)
  const last = yield* world.boot()
  const ready = yield* arrived(world, last)
  const rest = yield* Effect.exit(world.rest(asPeople(world, todo, done), ready, bound))
  const broken: Array<string> = []
  if (Exit.isFailure(rest)) {
    broken.push(`I1 not seen: ${[...todo.open].join(", ")}; ${String(Cause.squash(rest.cause))}`)
  } else broken.push(...(yield* endless(world, todo)))
  const { code } = yield* last.stop()
  if (code !== 0) broken.push(`I10 the last stop ended with ${code}`)
  return broken
}, Effect.scoped)

/** Messages that were set aside and should not have been, or the other way round. */
const setAside = ({ people }: Deeds, { answered = [], aside }: Point): ReadonlyArray<string> => {
  const replies = people.flatMap(({ seen }) => seen())
  const found = new Set(replies.flatMap((reply) => (reply.kind === "answer" ? reply.inReplyTo : [])))
  const early = answered.filter((id) => !found.has(id)).map((id) => `I7 ${id} was set aside without a reason`)
  if (aside === undefined) return early
  const told = replies.some(
    ({ inReplyTo, text }) => inReplyTo.includes(aside.id) && asideOf(text).aside?.why === aside.why
  )
  return told ? early : [...early, `I7 ${aside.id} was not set aside as ${aside.why}`]
}

/** Runs a world; the history lies in its folder, which goes with the scope. */
export const live = Effect.fnUntraced(function* (
  bundle: Bundle,
  seed: number,
  point: Point,
  bound: number
): Effect.fn.Return<Lived, never, Scope.Scope> {
  const world = yield* World.make({
    ...{ bundle, seed, configuration, fates: fates() },
    ...(point.telegram === undefined ? {} : { telegram: point.telegram })
  })
  const todo = deeds(world)
  const whole = point.parts === undefined
  if (whole) {
    yield* prepared(world, todo)
    yield* todo.between
  }
  const doing = yield* Effect.forkScoped(todo.parts(point.parts))
  const done = Fiber.join(doing)
  const crossed = join(world.folder, "crossed")
  const missed: Array<Grave> = []
  const broken: Array<string> = []
  let kills = whole ? 1 : 0
  const graves = point.graves.length === 0 ? [undefined] : point.graves
  for (const [index, grave] of graves.entries()) {
    const stops = point.stops !== undefined && index < point.stops.times ? point.stops.at : undefined
    const life = yield* mortal(world, todo, done, { crossed, grave, stops, stand: point.stand ?? beforeResume })
    broken.push(...life.broken)
    if (life.died) kills++
    else if (grave !== undefined) missed.push(grave)
    if (life.broken.length > 0) break
  }
  broken.push(...(yield* finished(world, todo, doing, bound)), ...setAside(todo, point))
  return { file: world.file, crossed: crossingsIn(crossed), kills, missed, broken }
})
