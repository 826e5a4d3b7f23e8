/**
 * What readers of events have not taken yet, all of them together. One that never
 * reads holds a few replies, which is little; a thousand of them hold a thousand
 * times as much. Beyond the bound the one that has taken nothing for the longest
 * time is sent away: it comes back with its last number and misses nothing.
 */

/** One reader. Synchronous. */
export interface Reader {
  /** Characters that wait for it from now on. */
  readonly made: (length: number) => void
  /** It asks for more: what it was given before is gone. */
  readonly asked: () => void
  /** It is given so many characters of what was made. */
  readonly given: (length: number) => void
  /** It was sent away. */
  readonly isDropped: () => boolean
  readonly leave: () => void
}

interface Place {
  held: number
  /** Of these, what is being written. */
  writing: number
  /** When it asked last, in questions of all readers. */
  turn: number
  dropped: boolean
  readonly drop: () => void
}

/** The readers of one channel. */
export class Unread {
  readonly #most: number
  readonly #places = new Set<Place>()
  #held = 0
  #turn = 0

  /** At most so many characters. */
  constructor(most: number) {
    this.#most = most
  }

  /** A reader comes; `drop` sends it away. */
  enter(drop: () => void): Reader {
    const place: Place = { held: 0, writing: 0, turn: ++this.#turn, dropped: false, drop }
    this.#places.add(place)
    return {
      made: (length) => {
        if (!this.#places.has(place)) return
        this.#hold(place, length)
        while (this.#held > this.#most && this.#dropSlowest(place));
      },
      asked: () => {
        if (!this.#places.has(place)) return
        this.#hold(place, -place.writing)
        place.writing = 0
        place.turn = ++this.#turn
      },
      given: (length) => {
        place.writing += length
      },
      isDropped: () => place.dropped,
      leave: () => this.#leave(place)
    }
  }

  #hold(place: Place, change: number): void {
    place.held += change
    this.#held += change
  }

  #leave(place: Place): void {
    if (!this.#places.delete(place)) return
    this.#held -= place.held
  }

  /** `false` when nobody but this one holds anything. */
  #dropSlowest(but: Place): boolean {
    let slowest: Place | undefined
    for (const place of this.#places) {
      if (place === but || place.held === 0) continue
      if (slowest === undefined || place.turn < slowest.turn) slowest = place
    }
    if (slowest === undefined) return false
    slowest.dropped = true
    this.#leave(slowest)
    slowest.drop()
    return true
  }
}
