/**
 * What a person sees of a conversation. An answer is written as it comes; when
 * the stored reply arrives, only what is missing of it is added, and when pieces
 * were lost on the way it is written whole: the stored reply is the truth, the
 * stream is a preview. Nothing reaches the screen with a control character in it.
 */
import { mainSession, type Progress } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import { visible, visibleLines } from "../visible.ts"
import type { Incoming } from "./line.ts"

/** Where a conversation is shown. What it is given is safe to show. */
export interface Screen {
  /** The gateway begins to speak: what is written next is its, until a note comes or somebody else's turn. */
  readonly begin?: Effect.Effect<void>
  /** Text of an answer, as it comes: perhaps a part of a line, perhaps several lines. */
  readonly write: (text: string) => Effect.Effect<void>
  /** A line of its own beside the answers: a state, a tool, a notice. */
  readonly note: (line: string) => Effect.Effect<void>
  /** Something is being done, or nothing any more. */
  readonly working?: (isIt: boolean) => Effect.Effect<void>
  /** A message is on disk now. */
  readonly accepted?: (message: {
    readonly id: string
    readonly text: string
    readonly duplicate: boolean
    readonly held: boolean
  }) => Effect.Effect<void>
}

/** Turns whose reply may still come; more are written whole. */
const maxEarlier = 8

/** What is on the screen of a turn: its answer as it came, and the lines of what was done in between. */
interface Seen {
  readonly shown: string
  readonly notes: ReadonlyArray<string>
}

/** Lines of one turn that are remembered. */
const maxNotes = 1000

/** An answer without what was done in between, however its lines break. */
const essence = ({ shown, notes }: Seen): string => {
  let rest = shown
  let at = 0
  for (const note of notes) {
    const line = `[${note}]`
    const found = rest.indexOf(line, at)
    if (found >= 0) rest = rest.slice(0, found) + rest.slice(found + line.length)
    at = Math.max(at, found)
  }
  return rest.replaceAll(/\s+/g, "")
}

/** Whether a reply tells nothing that is not on the screen. */
const isSeen = (text: string, seen: Seen): boolean =>
  seen.shown !== "" && essence({ shown: text, notes: seen.notes }) === essence({ shown: seen.shown, notes: [] })

/** `work` of `http/kim#work`. */
const nameOf = (session: string): string => {
  const name = session.split("#")[1]
  return name === undefined ? mainSession : decodeURIComponent(name)
}

const endsHigh = (text: string): boolean => /[\ud800-\udbff]$/.test(text)

type InTurn = Pick<Extract<Progress, { readonly turn: string }>, "elsewhere" | "session" | "turn">

/** The transcript of one conversation on one screen. */
export class Transcript {
  private readonly screen: Screen
  private readonly streaming: boolean
  /** What of the running answer is on the screen, as it came. */
  private shown = ""
  private notes: Array<string> = []
  private turn: string | undefined
  private turnOver = true
  /** The turn whose answer is stored: pieces of it that come late are known already. */
  private answered: string | undefined
  /** What is on the screen of turns before this one whose stored reply is still on its way. */
  private readonly earlier = new Map<string, Seen>()
  /** The first half of a character whose other half is in the next piece. */
  private half = ""
  private midLine = false
  /** Whoever reads knows already who speaks. */
  private marked = false

  constructor(screen: Screen, streaming: boolean) {
    this.screen = screen
    this.streaming = streaming
  }

  private write(text: string): Effect.Effect<void> {
    if (text === "") return Effect.void
    this.midLine = !text.endsWith("\n")
    const written = this.screen.write(visibleLines(text))
    if (this.marked || this.screen.begin === undefined) return written
    this.marked = true
    return Effect.andThen(this.screen.begin, written)
  }

  /** Ends a line that is not finished, so that what follows stands alone. */
  private readonly freshLine: Effect.Effect<void> = Effect.suspend(() => {
    if (!this.midLine) return Effect.void
    this.midLine = false
    return this.screen.write("\n")
  })

  /** A line of its own. */
  note(line: string): Effect.Effect<void> {
    return Effect.andThen(
      this.freshLine,
      Effect.suspend(() => {
        this.marked = false
        return this.screen.note(visible(line, 2000))
      })
    )
  }

  /** What was streamed so far may have holes from here on: the stored reply will be written whole. */
  readonly cut: Effect.Effect<void> = Effect.andThen(
    this.freshLine,
    Effect.sync(() => this.begin(undefined))
  )

  private begin(turn: string | undefined): void {
    if (turn === undefined) this.earlier.clear()
    else if (this.turn !== undefined && this.turn !== turn && this.shown !== "") {
      this.keep(this.turn, { shown: this.shown, notes: this.notes })
    }
    this.shown = ""
    this.notes = []
    this.half = ""
    this.marked = false
    this.turn = turn
    this.turnOver = turn === undefined
  }

  /** The running answer is not followed any more. */
  private readonly leave = Effect.sync(() => {
    this.shown = ""
    this.notes = []
    this.half = ""
    this.marked = false
    this.turn = undefined
    this.turnOver = true
  })

  private keep(turn: string, seen: Seen): void {
    this.earlier.set(turn, seen)
    const [oldest] = this.earlier.keys()
    if (this.earlier.size > maxEarlier && oldest !== undefined) this.earlier.delete(oldest)
  }

  /** Whether the whole of a reply is on the screen, above the turn that has begun since. */
  private isKnown({ text, turn = "" }: Incoming): boolean {
    const seen = this.earlier.get(turn)
    this.earlier.delete(turn)
    if (seen === undefined) return false
    if (!seen.shown.startsWith(text)) return isSeen(text, seen)
    const rest = seen.shown.slice(text.length).replace(/^\s+/, "")
    if (rest !== "") this.keep(turn, { ...seen, shown: rest })
    return true
  }

  private piece(progress: Extract<Progress, { readonly _tag: "Text" }>): Effect.Effect<void> {
    const { delta, elsewhere, turn } = progress
    // the stream and the stored replies come on different ways, in any order
    if (turn === this.answered) return Effect.void
    // two answers are not mixed: the one that the person does not wait for comes whole, with the name of its session
    if (elsewhere === true) return turn === this.turn ? Effect.andThen(this.freshLine, this.leave) : Effect.void
    const joined = this.half + delta
    const ready = endsHigh(joined) ? joined.slice(0, -1) : joined
    if (turn === this.turn && !this.turnOver) {
      this.half = joined.slice(ready.length)
      this.shown += ready
      return this.write(ready)
    }
    return Effect.andThen(
      this.freshLine,
      Effect.suspend(() => {
        this.begin(turn)
        return this.piece(progress)
      })
    )
  }

  /** A stored reply. */
  reply(reply: Incoming): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { notes, shown } = this
      // a notice may belong to the turn without being its answer
      const isAnswer = reply.kind === "answer" && reply.turn !== undefined
      const running = isAnswer && reply.turn === this.turn
      if (isAnswer) this.answered = reply.turn
      if (running && shown !== "") {
        const known = reply.text.startsWith(shown)
        const more = shown.startsWith(reply.text)
        if (known || more) {
          // one of several replies of its turn: the rest of what is shown belongs to the next
          this.shown = more ? shown.slice(reply.text.length).replace(/^\s+/, "") : ""
          return Effect.andThen(this.write(known ? reply.text.slice(shown.length) : ""), this.freshLine)
        }
        if (isSeen(reply.text, { shown, notes })) {
          this.shown = ""
          return this.freshLine
        }
      }
      // the next turn may begin before the reply of this one is read
      if (isAnswer && !running && this.isKnown(reply)) return Effect.void
      // the answer to something else, in the middle of this one, leaves it where it is
      if (running) this.shown = ""
      return this.whole(reply)
    })
  }

  private whole({ session, text }: Incoming): Effect.Effect<void> {
    const label = session === undefined ? "" : `[${session}]\n`
    return Effect.andThen(
      this.freshLine,
      Effect.suspend(() => {
        this.marked = false
        return Effect.andThen(
          this.write(`${label}${text}\n`),
          // what goes on after it is the running answer
          Effect.sync(() => (this.marked = false))
        )
      })
    )
  }

  /** A line of what is done in a turn. `told` is what an answer with everything would say of it. */
  private done({ elsewhere, session, turn }: InTurn, line: string, told: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (elsewhere === true) return this.note(`[${nameOf(session)}] ${line}`)
      if (turn !== this.turn || this.turnOver) this.begin(turn)
      if (this.notes.length < maxNotes) this.notes.push(told)
      return this.note(line)
    })
  }

  /** Something that happens in a turn. */
  happened(progress: Progress): Effect.Effect<void> {
    return Effect.suspend(() => {
      switch (progress._tag) {
        case "Text":
          return this.streaming ? this.piece(progress) : Effect.void
        case "ToolStarted":
          return this.done(progress, `- ${progress.name} ...`, progress.name)
        case "Line":
          return this.done(progress, progress.text, progress.text)
        case "TurnEnded":
          if (progress.turn !== this.turn) return Effect.void
          // a later attempt of the same turn begins its answer anew
          this.turnOver = true
          return this.freshLine
        case "Permission":
        // the question with its options comes as a reply, so that it is there after a reconnect too
        case "State":
        case "ToolFinished":
          return Effect.void
      }
    })
  }
}
