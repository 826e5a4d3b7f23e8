/**
 * The four characters that a person passes on and an operator looks up. They are
 * a permutation of the number's low 20 bits, so that neighbours don't look alike,
 * in an alphabet without letters that are mistaken for digits.
 */

const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
const size = 2 ** 20
const factor = 0x9e375
const offset = 0x5a17c

// The inverse of an odd factor modulo a power of two, by Newton's iteration.
const inverse = (() => {
  let x = factor
  for (let i = 0; i < 5; i++) x = Number((BigInt(x) * (2n - BigInt(factor) * BigInt(x))) & BigInt(size - 1))
  return x
})()

const times = (a: number, b: number): number => Number((BigInt(a) * BigInt(b)) & BigInt(size - 1))

/** Four characters for a turn's number (or a message's seq). The same number always has the same ones. */
export const reference = (number: number): string => {
  let rest = (times(number % size, factor) + offset) % size
  let text = ""
  for (let i = 0; i < 4; i++) {
    text = `${alphabet[rest % 32]}${text}`
    rest = Math.floor(rest / 32)
  }
  return text
}

/** The number modulo 1,048,576 that has this reference; `undefined` when the text is not one. Upper case is fine. */
export const referenced = (text: string): number | undefined => {
  let value = 0
  if (text.length !== 4) return undefined
  for (const letter of text.toLowerCase()) {
    const digit = alphabet.indexOf(letter)
    if (digit === -1) return undefined
    value = value * 32 + digit
  }
  return times((value - offset + size) % size, inverse)
}
