/**
 * An option of OpenSSL's that Node has no name for: what a connection has decrypted is overwritten once it
 * was read. Without it the last record of each connection stays in memory for as long as it lives, and
 * afterwards in what was freed.
 */
export const SSL_OP_CLEANSE_PLAINTEXT = 0x2;
