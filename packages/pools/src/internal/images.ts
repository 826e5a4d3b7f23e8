/**
 * Whether something is an image, by its first bytes and its last ones: what a sender calls it proves nothing, and a model
 * that gets a web page or half a picture answers something all the same.
 */

interface Kind {
  readonly begins: RegExp
  /** What stands at the end of one that is whole; a WebP file says how long it is instead. */
  readonly ends?: RegExp
}

const kinds: ReadonlyArray<Kind> = [
  { begins: /^\u0089PNG\r\n.\n/, ends: /IEND/ },
  { begins: /^\u00ff\u00d8\u00ff/, ends: /\u00ff\u00d9/ },
  { begins: /^GIF8[79]a/, ends: /;[\0\s]*$/ },
  { begins: /^RIFF[^]{4}WEBP/ }
]

/** Characters of base64 in which the end is looked for first: three kilobytes. */
const tail = 4096
/** Characters of base64 that may hold a small picture of the picture, which has an end of its own: 64 KiB. */
const preview = 87_384

/** Bytes of a WebP file, by its own word. */
const saidLength = (head: string): number =>
  8 + [4, 5, 6, 7].reduce((sum, at, power) => sum + head.charCodeAt(at) * 256 ** power, 0)

const isWhole = ({ ends }: Kind, head: string, base64: string): boolean => {
  if (ends === undefined) return saidLength(head) <= Math.floor((base64.replace(/=+$/, "").length * 3) / 4)
  // Some cameras write a film behind the picture: then its end is somewhere before.
  return ends.test(atob(base64.slice(-Math.min(tail, base64.length)))) || ends.test(atob(base64.slice(preview)))
}

const dataAddress = /^data:(image\/[a-z0-9.+-]+);base64,([A-Za-z0-9+/]+={0,2})$/

/** What is wrong with a picture's address, with its remedy; `undefined` when nothing is. */
export const imageProblem = (address: string): string | undefined => {
  if (/^https?:\/\//.test(address) && URL.canParse(address)) return undefined
  const remedy = "give data:image/png;base64,... (PNG, JPEG, GIF or WebP) or an https: address"
  const [, type, base64] = dataAddress.exec(address) ?? []
  // Base64 comes in fours: one that does not was cut, or is none.
  if (type === undefined || base64 === undefined || base64.length % 4 !== 0)
    return `"${address.slice(0, 40)}" is no address of an image; ${remedy}`
  // Twenty-four characters of base64 are eighteen bytes; that much tells the kinds apart.
  const head = atob(base64.slice(0, 24).padEnd(24, "A"))
  const found = kinds.find(({ begins }) => begins.test(head))
  if (found === undefined) return `what is given as ${type} is no image; ${remedy}`
  if (!isWhole(found, head, base64)) return `the image that is given as ${type} is cut off; send all of it`
  return undefined
}
