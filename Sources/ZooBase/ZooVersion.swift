/// The version of the package.
public enum ZooVersion {
    /// Major, minor, patch.
    public static let string = "0.1.0"
}
