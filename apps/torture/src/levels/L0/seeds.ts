/**
 * Seeds whose histories once broke a promise, or came close to it in a way that is
 * worth repeating: CI plays them always, beside those of a random seed. A change of
 * how a seed becomes a plan makes them others; each says what it was about.
 */
export const regressions: ReadonlyArray<readonly [seed: number, about: string]> = []
