/**
 * The version of the program, which is also written into the store. Held equal to
 * package.json by a test, because a bundle has no package.json beside it.
 */
export const version = "0.1.0"
