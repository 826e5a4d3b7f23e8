/**
 * What all agents of a world have in common, whatever they speak with the gateway: what
 * a message's words make them do (`#<id> slow`, `#<id> hang`, ...), and the account that
 * they write of each run into the history, with their pid and everybody whom they find at
 * work for the same session. Misbehaviour that would never end is for the first try at a
 * message only, so that a world comes to rest.
 */
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import { dirname, join } from "node:path"
import { History } from "../../history/writer.mjs"
import { idOf, millisOf, numberIn } from "./words.mjs"

const file = process.env["TORTURE_HISTORY"] ?? ""
export const history = History.open(file)

// `instance/epoch/session/turn`: which gateway began this, and for which session.
const [instance, epoch, session] = (process.env["SLUICE_MARKER"] ?? "").split("/")

/** What a process that an agent leaves behind has in its environment: the agent's pid. */
const leftBy = "TORTURE_LEFT_BY"

/** Processes that work for the same session: an agent that was not let go, or what it left behind. */
const besides = () =>
  Fs.readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((name) => {
      try {
        const variables = Fs.readFileSync(`/proc/${name}/environ`, "utf8").split("\0")
        const [world, , whose] =
          /^SLUICE_MARKER=([^/]*)\/(\d+)\/(\d+)(?:\/|$)/
            .exec(variables.find((variable) => variable.startsWith("SLUICE_MARKER=")) ?? "")
            ?.slice(1) ?? []
        // A process that is kept between its runs may have left something behind in an earlier one.
        if (variables.includes(`${leftBy}=${process.pid}`)) return []
        return world === instance && whose === session ? [Number(name)] : []
      } catch {
        // It ended while it was looked at, or is somebody else's.
        return []
      }
    })

/** Whether nobody has tried to answer this message before; asked once for each. @param {string} text */
export const isFirst = (text) => {
  const begun = join(dirname(file), "begun")
  Fs.mkdirSync(begun, { recursive: true })
  try {
    Fs.closeSync(Fs.openSync(join(begun, idOf(text) ?? "?"), "wx"))
    return true
  } catch (cause) {
    if (/** @type {NodeJS.ErrnoException} */ (cause).code === "EEXIST") return false
    throw cause
  }
}

/** What messages make an agent do. */
export class Orders {
  /** @readonly @type {ReadonlyArray<string>} */
  texts
  /** @type {ReadonlyArray<string>} */
  #first

  /**
   * @param {ReadonlyArray<string>} texts
   * @param {ReadonlyArray<string>} first those of them at which this is the first try
   */
  constructor(texts, first) {
    this.texts = texts
    this.#first = first
  }

  get ids() {
    return this.texts.map((text) => idOf(text) ?? "?")
  }

  /** Some message has this word. @param {string} word */
  told(word) {
    return this.texts.some((text) => text.includes(` ${word}`))
  }

  /** Some message has it that is tried for the first time. @param {string} word */
  toldFirst(word) {
    return this.#first.some((text) => text.includes(` ${word}`))
  }

  /** A word's number, as `work300`. @param {string} word @param {ReadonlyArray<string>} [texts] */
  number(word, texts = this.texts) {
    return numberIn(texts, word)
  }

  /** How long it takes. */
  get millis() {
    // `first4000` is for the first attempt only: what it leaves behind is still there when the next gateway comes.
    return this.number("first", this.#first) ?? millisOf(this.texts)
  }

  /** It does not listen to anybody who tells it to stop. */
  get deaf() {
    return this.told("hang") || this.told("stubborn")
  }
}

/** A run, as it is told in the history. */
export class Run {
  /** @readonly */
  id = `${process.pid}-${process.hrtime.bigint()}`
  /** @readonly @type {Orders} */
  orders
  /** Whether it has said how it ended. */
  over = false
  #account
  /** @type {NodeJS.Timeout} */
  #alive

  /**
   * Begins.
   * @param {string} kind
   * @param {string} conversation
   * @param {Orders} orders
   * @param {string} [memory] the agent's own conversation, of one that has some
   */
  constructor(kind, conversation, orders, memory) {
    this.orders = orders
    this.#account = /** @type {const} */ ({
      op: "run",
      by: "agent",
      kind,
      conversation,
      run: this.id,
      pid: process.pid,
      epoch: Number(epoch),
      ids: orders.ids,
      ...(memory === undefined ? {} : { memory })
    })
    const others = besides()
    history.append({ ...this.#account, phase: "invoke", ...(others.length === 0 ? {} : { besides: others }) })
    // As long as it lives, whatever it says of its end.
    this.#alive = setInterval(() => history.append({ ...this.#account, phase: "info" }), 150).unref()
  }

  /** The answer. A long one is of three paragraphs, of which no two go into one message of a chat. */
  get answer() {
    const told = `${this.id} ${this.orders.ids.join(",")}`
    if (!this.orders.told("long")) return `[[${told}]]`
    return [1, 2, 3].map((part) => `[[${told} ${part}/3]] ${"and so on ".repeat(220)}`.trimEnd()).join("\n\n")
  }

  /** It ends: before it lets go of its answer, or without one. @param {"ok" | "fail"} phase */
  ends(phase) {
    if (this.over) return
    this.over = true
    history.append({ ...this.#account, phase })
  }

  /** Its answer is written down where the next gateway looks for it. */
  stored() {
    history.append({ ...this.#account, phase: "info", stored: true })
  }

  /** A process that goes on without it says nothing more of it. */
  close() {
    clearInterval(this.#alive)
  }
}

/** @param {number} millis */
export const pause = (millis) => new Promise((resolve) => setTimeout(resolve, millis))

/** Ends this process in the middle of whatever it does. */
export const die = () => process.kill(process.pid, "SIGKILL")

/** A grandchild in a group of its own that listens to nothing: it must not outlive whom it was left by. */
const leave = () => {
  const nobody = "process.on('SIGTERM', () => {}); setTimeout(() => {}, 60_000)"
  const env = { ...process.env, [leftBy]: String(process.pid) }
  spawn(process.execPath, ["-e", nobody], { detached: true, stdio: "ignore", env }).unref()
}

/** So many megabytes that nobody asked for, on the stream that is no answer. @param {number} megabytes */
const shout = async (megabytes) => {
  const piece = Buffer.alloc(1 << 20, "z")
  for (let n = 0; n < megabytes; n++) {
    if (!process.stderr.write(piece)) await new Promise((resolve) => process.stderr.once("drain", resolve))
  }
}

/**
 * Does what it was told to, up to the answer; false when it was told to stop before.
 * @param {Run} run
 * @param {Promise<unknown>} stopped
 */
export const work = async (run, stopped) => {
  const { orders } = run
  /** @param {number} millis */
  const wait = async (millis) => (await Promise.race([pause(millis), stopped.then(() => "stopped")])) !== "stopped"
  if (orders.toldFirst("fork")) leave()
  if (!(await wait(orders.millis))) return false
  if (orders.toldFirst("crash")) die()
  if (orders.toldFirst("exit")) {
    run.ends("fail")
    process.exit(3)
  }
  if (orders.toldFirst("hang") && !(await wait(120_000))) return false
  if (orders.toldFirst("asleep")) {
    process.kill(process.pid, "SIGSTOP")
    // Woken only to be ended: the signal that says so comes first.
    if (!(await wait(5_000))) return false
  }
  await shout(orders.number("loud") ?? 0)
  return true
}

/** Bytes that are no text in any encoding. */
export const noise = Buffer.from([0xff, 0xfe, 0xc3, 0x28, 0xed, 0xa0, 0x80, 0xf0, 0x9f])

/** What an agent that is told to flood says after its answer: more than anybody keeps. */
export function* flood() {
  for (let bytes = 0; bytes < 3 << 20; bytes += 8192) yield `${"x".repeat(8191)}\n`
}
