import { Picture } from "./picture";

// Rendered on the server; what draws is the component for the browser.
export default function Page() {
  return <Picture />;
}
