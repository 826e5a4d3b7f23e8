/**
 * Sorts the lines of a history into messages, what was shown, runs and processes. A
 * far side may write several lines about one thing that it shows (it appeared, the
 * gateway was told), and a reader may get one number twice: both are one appearance.
 */
import type { Boot, Deliver, DeliveryClass, Exit, Kill, Run, Send, Stop } from "../history/Operation.ts"
import type { Line, Read } from "../history/reader.ts"
import {
  type BootSeen,
  type ConversationSeen,
  type Failed,
  type Gathered,
  type Mark,
  type Message,
  type RunSeen,
  type Shown,
  tell,
  wasRefused
} from "./Gathered.ts"

const sameIds = (a: ReadonlyArray<string>, b: ReadonlyArray<string>): boolean =>
  a.length === b.length && a.every((id, index) => id === b[index])

/** A copy that says so is the same text as the answer that it is a copy of, under an id of its own. */
const sameText = (shown: Shown, { ids, part, run, what }: Deliver): boolean =>
  shown.what === what && shown.run === run && shown.part === (part ?? 1) && sameIds(shown.ids, ids)

class Gathering {
  readonly messages = new Map<string, Message>()
  readonly conversations = new Map<string, ConversationSeen>()
  readonly runs = new Map<string, RunSeen>()
  readonly strays = new Map<string, Mark>()
  readonly boots = new Map<number, BootSeen>()
  readonly classes = new Map<string, DeliveryClass>()
  readonly failedRequests = new Map<string, Failed>()
  readonly faults: Array<Mark> = []
  readonly ledgers: Array<Mark & { readonly ledger: unknown }> = []
  rest: Gathered["rest"]
  /** Runs take over what is handed to them. */
  readonly #growing = new Map<string, { readonly ids: Array<string>; readonly joined: Map<string, Mark> }>()
  /** What stands under each id of a far side now. */
  readonly #places = new Map<string, Shown>()

  add({ line, operation }: Line): void {
    const mark = { at: operation.at, line }
    switch (operation.op) {
      case "send":
        return this.#send(line, operation)
      case "deliver":
        return this.#deliver(line, operation)
      case "run":
        return this.#run(line, operation)
      case "boot":
      case "kill":
      case "exit":
        return this.#process(line, operation)
      case "stop":
        return this.#stop(line, operation)
      case "fault":
        return void this.faults.push(mark)
      case "ledger":
        return void this.ledgers.push({ ...mark, ledger: operation.ledger })
      case "rest":
        this.rest ??= { ...mark, phase: operation.phase }
        return
      case "reload":
    }
  }

  #conversation(name: string): ConversationSeen {
    const known = this.conversations.get(name)
    if (known !== undefined) return known
    const made = { name, messages: [], shown: [], runs: [] }
    this.conversations.set(name, made)
    return made
  }

  #send(line: number, send: Send): void {
    if (send.class !== undefined) this.classes.set(send.channel, send.class)
    let message = this.messages.get(send.id)
    if (message === undefined) {
      const { by, channel, conversation, id, n } = send
      message = {
        id,
        conversation,
        channel,
        by,
        n,
        command: send.command === true,
        unseen: send.unseen === true,
        post: send.post === true,
        retry: send.retry === true,
        first: { at: send.at, line },
        acknowledged: undefined,
        seq: undefined,
        renumbered: undefined,
        refused: undefined,
        uncertain: false
      }
      this.messages.set(id, message)
      this.#conversation(conversation).messages.push(message)
    }
    tell(message, line, send)
  }

  #deliver(line: number, deliver: Deliver): void {
    this.classes.set(deliver.channel, deliver.class)
    if (deliver.phase === "fail") {
      return this.#failed(deliver)
    }
    const { aside, at, by, channel, conversation, ids, key, part = 1, parts = 1, remoteId, run, what } = deliver
    const place = `${channel}\0${conversation}\0${remoteId}`
    const there = this.#places.get(place)
    const told = deliver.phase === "ok"
    if (there !== undefined) {
      if (sameText(there, deliver)) {
        there.told ||= told
        return
      }
      there.replaced = true
    }
    const className = deliver.class
    const shown: Shown = {
      ...{ at, line, channel, class: className, conversation, by, remoteId, key, what, ids, aside },
      ...{ part, parts, run, told },
      replaced: false
    }
    this.#places.set(place, shown)
    this.#conversation(conversation).shown.push(shown)
  }

  #failed({ conversation, failure = "lost", ids }: Deliver): void {
    // A placeholder names nobody, and all that comes behind it in its conversation waits for it.
    for (const key of ids.length === 0 ? [conversation] : ids) {
      const failed = this.failedRequests.get(key) ?? { lost: 0, unsent: 0, refused: 0 }
      failed[failure]++
      this.failedRequests.set(key, failed)
    }
  }

  #run(line: number, run: Run): void {
    const mark = { at: run.at, line }
    const known = this.runs.get(run.run)
    if (run.phase === "invoke" && known === undefined) {
      const { besides = [], conversation, epoch, ids, kind, memory, pid, session = "" } = run
      const of = {
        conversation,
        session,
        pid,
        ids: [...ids],
        joined: new Map<string, Mark>(),
        besides,
        epoch,
        kind,
        memory
      }
      const seen = { run: run.run, ...of, begin: mark, end: undefined, last: mark, stored: undefined }
      this.runs.set(run.run, seen)
      this.#growing.set(run.run, of)
      this.#conversation(conversation).runs.push(seen)
      return
    }
    if (known === undefined) {
      if (!this.strays.has(run.run)) this.strays.set(run.run, mark)
      return
    }
    if (run.stored === true) {
      known.stored ??= mark
      return
    }
    known.last = mark
    const { ids = [], joined } = this.#growing.get(run.run) ?? {}
    for (const id of run.ids) {
      if (ids.includes(id)) continue
      ids.push(id)
      joined?.set(id, mark)
    }
    if (run.phase === "ok" || run.phase === "fail") known.end ??= { ...mark, phase: run.phase }
  }

  #boot(boot: number): BootSeen {
    const known = this.boots.get(boot)
    if (known !== undefined) return known
    const made: BootSeen = {
      boot,
      invoked: undefined,
      ready: undefined,
      killed: undefined,
      exited: undefined,
      stop: undefined,
      stopped: undefined,
      starved: 0
    }
    this.boots.set(boot, made)
    return made
  }

  #process(line: number, operation: Boot | Kill | Exit): void {
    const mark = { at: operation.at, line }
    const seen = this.#boot(operation.boot)
    if (operation.op === "kill") seen.killed ??= mark
    else if (operation.op === "exit") {
      const { code, left, signal } = operation
      seen.exited ??= { ...mark, code, signal, ...(left === undefined ? {} : { left }) }
    } else if (operation.phase === "invoke") seen.invoked ??= { ...mark, open: operation.open }
    else if (operation.phase === "ok") seen.ready ??= mark
  }

  #stop(line: number, stop: Stop): void {
    const mark = { at: stop.at, line }
    const seen = this.#boot(stop.boot)
    const { behaviour, deadline, exitCode, report, starved = 0 } = stop
    seen.starved = Math.max(seen.starved, starved)
    if (stop.phase === "invoke") seen.stop ??= { ...mark, deadline, behaviour }
    else if (stop.phase === "ok") seen.stopped ??= { ...mark, exitCode, report }
  }
}

/** Sorts a whole history. */
export const gather = ({ lines, torn }: Read): Gathered => {
  const gathering = new Gathering()
  for (const line of lines) gathering.add(line)
  const last = lines.at(-1)
  const end = { at: last?.operation.at ?? 0, line: last?.line ?? 0 }
  const boots = new Map([...gathering.boots].filter(([, seen]) => !wasRefused(seen)))
  const { classes, conversations, faults, ledgers, failedRequests, messages, rest, runs, strays } = gathering
  return {
    ...{ boots, classes, conversations, faults, ledgers, failedRequests, messages, rest, runs, strays },
    lines: lines.length,
    torn: torn.length,
    end
  }
}
