/** Which part of an address says what a file is: signatures in its query differ at each visit. */

/** Beginnings of the names of a signature's parts in a query, in lower case. */
const PREFIXES = [
  "x-amz-", // Amazon S3, and stores with its interface
  "x-goog-", // Google Cloud Storage
  "x-oss-", // Alibaba Cloud
  "x-obs-", // Huawei Cloud
  "q-", // Tencent Cloud: q-sign-algorithm, q-ak, q-sign-time, …
];

/** Names of a signature's parts in a query, in lower case. */
const NAMES: ReadonlySet<string> = new Set([
  // Amazon CloudFront, and older signatures of the stores above
  ...["expires", "signature", "key-pair-id", "policy", "hash-algorithm"],
  ...["awsaccesskeyid", "googleaccessid", "ossaccesskeyid", "security-token"],
  // Google's CDN
  ...["urlprefix", "keyname"],
  // Azure: parts of a shared access signature
  ...["sv", "ss", "srt", "sr", "sp", "st", "se", "spr", "sip", "sig", "ses", "sdd", "scid"],
  ...["skoid", "sktid", "skt", "ske", "sks", "skv", "saoid", "suoid"],
  // Akamai, Bunny and Cloudflare
  ...["hdnts", "hdnea", "__token__", "token", "token_path", "verify"],
  // what servers of one's own often take
  ...["access_token", "api_key", "apikey", "auth", "authorization", "jwt"],
]);

/**
 * Return the part of an address that says what the file is: without signatures, user information
 * and fragment. Addresses that differ in another part of their query are of different files.
 */
export function unsignedAddress(address: string): string {
  const url = new URL(address);
  [url.username, url.password, url.hash] = ["", "", ""];
  const parts = url.search.slice(1).split("&");
  url.search = parts.filter((part) => !isSigned(part)).join("&");
  return url.href;
}

function isSigned(part: string): boolean {
  const [name] = [...new URLSearchParams(part).keys()];
  const lower = name?.toLowerCase() ?? "";
  return NAMES.has(lower) || PREFIXES.some((prefix) => lower.startsWith(prefix));
}
