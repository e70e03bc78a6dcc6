/** The version of this product, as in package.json (a test compares). */
export const version = '0.1.0';
